//! The cache against a model.

use super::*;
use crate::entity::{Body, Description};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn entity() -> Arc<Entity> {
    let of = Description {
        media_type: "",
        etag: None,
        modified_s: None,
        settled: true,
        len: 0,
        extra: "",
    };
    Arc::new(Entity::new(of, Body::Bytes(Box::default())))
}

fn identity(inode: u64) -> Identity {
    Identity { device: 1, inode, size: 0, modified: (0, 0), changed: (0, 0) }
}

#[test]
fn one_that_is_asked_for_outlives_the_others() {
    let mut cache = Cache::new(4);
    let seen = |epoch| Seen { epoch, unix_s: 0 };
    cache.keep(b"hot", b"hot", identity(0), entity(), seen(0));
    for number in 1..100u64 {
        let path = number.to_string();
        cache.keep(path.as_bytes(), path.as_bytes(), identity(number), entity(), seen(number));
        assert!(cache.find(b"hot", seen(number), |_| Some(identity(0))).is_some(), "{number}");
        assert!(cache.slots.len() <= 4);
    }
}

#[test]
fn a_path_that_leads_elsewhere_is_dropped() {
    let mut cache = Cache::new(4);
    cache.keep(b"a", b"a", identity(1), entity(), Seen { epoch: 0, unix_s: 0 });
    let later = Seen { epoch: 1, unix_s: 0 };
    assert!(cache.find(b"a", later, |_| Some(identity(2))).is_none());
    assert!(cache.find(b"a", later, |_| Some(identity(1))).is_none(), "it was dropped before");
}

proptest! {
    /// Whatever is kept and found: what is found is what was kept last, and never too much.
    #[test]
    fn agrees_with_a_map(steps in prop::collection::vec((0u8..12, any::<bool>()), 0..200)) {
        let mut cache = Cache::new(5);
        let mut model = BTreeMap::new();
        for (epoch, (number, keep)) in (1u64..).zip(steps) {
            let (path, seen) = ([number], Seen { epoch, unix_s: 0 });
            if keep {
                let entity = entity();
                model.insert(path, (epoch, Arc::clone(&entity)));
                cache.keep(&path, b"x", identity(epoch), entity, seen);
            } else {
                let known = model.get(&path);
                let inode = known.map_or(0, |(inode, _)| *inode);
                if let Some(found) = cache.find(&path, seen, |_| Some(identity(inode))) {
                    prop_assert!(Arc::ptr_eq(&found, &known.unwrap().1));
                }
            }
            prop_assert!(cache.slots.len() <= 5);
            prop_assert_eq!(cache.slots.len(), cache.by_path.len());
            for (index, slot) in cache.slots.iter().enumerate() {
                prop_assert_eq!(cache.by_path.get(&slot.path), Some(&index));
            }
        }
    }
}
