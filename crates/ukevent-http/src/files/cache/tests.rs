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

fn at(place: &[u8], inode: u64) -> Keep {
    Keep { place: place.into(), identity: identity(inode), beside: None, is_remote: false }
}

#[test]
fn one_that_is_asked_for_outlives_the_others() {
    let mut cache = Cache::new(4, usize::MAX);
    let seen = |epoch| Seen { epoch, unix_s: 0, sure: false };
    cache.keep(b"hot", at(b"hot", 0), entity(), seen(0));
    for number in 1..100u64 {
        let path = number.to_string();
        cache.keep(path.as_bytes(), at(path.as_bytes(), number), entity(), seen(number));
        assert!(cache.find(b"hot", seen(number), |_, _| Some(identity(0))).is_some(), "{number}");
        assert!(cache.slots.len() <= 4);
    }
}

#[test]
fn a_path_that_leads_elsewhere_is_dropped() {
    let mut cache = Cache::new(4, usize::MAX);
    cache.keep(b"a", at(b"a", 1), entity(), Seen { epoch: 0, unix_s: 0, sure: false });
    let later = Seen { epoch: 1, unix_s: 0, sure: false };
    assert!(cache.find(b"a", later, |_, _| Some(identity(2))).is_none());
    assert!(cache.find(b"a", later, |_, _| Some(identity(1))).is_none(), "it was dropped before");
}

#[test]
fn what_is_held_is_bounded_in_bytes() {
    let each = entity().held_bytes();
    let mut cache = Cache::new(100, 3 * each);
    for epoch in 1..20u64 {
        let seen = Seen { epoch, unix_s: 0, sure: false };
        cache.keep(&[epoch as u8], at(b"x", epoch), entity(), seen);
        assert_eq!(cache.slots.len() as u64, epoch.min(3));
        assert_eq!(cache.bytes, cache.slots.len() * each);
    }
    while !cache.slots.is_empty() {
        cache.drop_slot(0);
    }
    assert_eq!(cache.bytes, 0);
}

/// Watched, it is looked at once a second, unless the reports are not complete, or told of it.
#[test]
fn what_is_watched_is_not_looked_at() {
    let mut cache = Cache::new(4, usize::MAX);
    let mut looks = 0;
    let mut find = |cache: &mut Cache, epoch, unix_s, sure| {
        let found = cache.find(b"a", Seen { epoch, unix_s, sure }, |_, _| {
            looks += 1;
            Some(identity(1))
        });
        assert!(found.is_some());
        looks
    };
    cache.keep(b"a", at(b"place", 1), entity(), Seen { epoch: 1, unix_s: 1, sure: true });
    assert_eq!(find(&mut cache, 1, 1, true), 0, "it was made in this epoch");
    assert_eq!(find(&mut cache, 2, 1, true), 1, "nobody watches it");
    assert_eq!(cache.take_wanted(), [Box::from(*b"a")]);
    assert_eq!(find(&mut cache, 3, 1, true), 2);
    assert!(cache.take_wanted().is_empty(), "it was asked for a moment ago");
    assert!(cache.trust(b"a", Some(identity(1)), 1));
    assert_eq!(find(&mut cache, 4, 1, true), 2);
    assert_eq!(find(&mut cache, 5, 1, false), 3, "there may be unread reports");
    assert_eq!(find(&mut cache, 6, 2, true), 4, "a second is over");
    cache.doubt(b"place");
    assert_eq!(find(&mut cache, 7, 2, true), 5, "something was reported");
    // It changed before it was watched.
    assert!(!cache.trust(b"a", Some(identity(2)), 2));
    assert!(cache.place_of(b"a").is_none());
    assert!(!cache.trust(b"a", Some(identity(2)), 2));
}

/// Where nobody has watched yet, nothing is gathered for it without end.
#[test]
fn what_is_worth_watching_is_bounded() {
    let mut cache = Cache::new(4, usize::MAX);
    let seen = |round| Seen { epoch: round, unix_s: round * WATCH_AGAIN_S, sure: false };
    cache.keep(b"a", at(b"a", 1), entity(), seen(1));
    for round in 2..1000 {
        assert!(cache.find(b"a", seen(round), |_, _| Some(identity(1))).is_some());
        assert!(cache.wanted.len() <= 4);
    }
    assert!(!cache.take_wanted().is_empty() && !cache.wants_tending());
}

proptest! {
    /// Whatever is kept and found: what is found is what was kept last, and never too much.
    #[test]
    fn agrees_with_a_map(steps in prop::collection::vec((0u8..12, any::<bool>()), 0..200)) {
        let mut cache = Cache::new(5, usize::MAX);
        let mut model = BTreeMap::new();
        for (epoch, (number, keep)) in (1u64..).zip(steps) {
            let (path, seen) = ([number], Seen { epoch, unix_s: 0, sure: false });
            if keep {
                let entity = entity();
                model.insert(path, (epoch, Arc::clone(&entity)));
                cache.keep(&path, at(b"x", epoch), entity, seen);
            } else {
                let known = model.get(&path);
                let inode = known.map_or(0, |(inode, _)| *inode);
                if let Some(found) = cache.find(&path, seen, |_, _| Some(identity(inode))) {
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
