//! For how many dead connections there are descriptors.

use crate::server::{descriptors::raised, held::Holder};

/// For all else: both ends of connections that have just been closed, files, queues.
const REST: u64 = 200;

/// These numbers of dead connections, without those for which there are too few descriptors: as many as fit are in
/// their place. And where they are to be held. Raises the limit for that, as far as it may.
pub(super) fn fitting(wanted: &[u32], busy: u32) -> (Vec<u32>, Holder) {
    let most = u64::from(wanted.iter().copied().max().unwrap_or(0));
    // Both ends of each busy connection, and those of the ones before.
    let beside = u64::from(busy) * 4 + REST;
    let limit = raised(most * 2 + beside);
    let holder = if limit < most * 2 + beside { Holder::Child } else { Holder::Here };
    (cut(wanted, limit.saturating_sub(beside)), holder)
}

fn cut(wanted: &[u32], fits: u64) -> Vec<u32> {
    // In hundreds, because it is shown.
    let fits = u32::try_from(fits).unwrap_or(u32::MAX);
    let fits = if fits > 100 { fits / 100 * 100 } else { fits };
    let mut dead: Vec<u32> = wanted.iter().map(|&it| it.min(fits)).collect();
    dead.dedup();
    dead
}

#[cfg(test)]
mod tests {
    use super::{Holder, cut, fitting};

    #[test]
    fn as_many_as_fit_are_kept() {
        assert_eq!(cut(&[0, 4_000, 16_000], 20_000), [0, 4_000, 16_000]);
        assert_eq!(cut(&[0, 4_000, 6_000, 16_000], 5_678), [0, 4_000, 5_600]);
        assert_eq!(cut(&[0, 1_000, 2_000], 77), [0, 77]);
        assert_eq!(cut(&[0, 1_000], 0), [0]);
        assert_eq!(fitting(&[0, 10], 4), (vec![0, 10], Holder::Here));
    }
}
