//! Who is too slow: a least rate, after a grace.
//!
//! A limit on the time of a whole transfer is unfair to the large ones, and one on the time between two
//! bytes is kept by sending one byte now and then. Therefore bytes buy time, as in Apache's
//! `mod_reqtimeout`: at first there is the grace, and each byte adds what it takes at the least rate. Never
//! more than the grace is in hand, so nobody who was fast may then be slow for as long as he was not.
//!
//! Pure: the time is an argument, of any clock that does not go back.

use crate::shared::nanoseconds;
use std::time::Duration;

/// What is asked of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeastRate {
    /// Bytes a second. 0 asks for nothing.
    pub(crate) bytes_per_s: u32,
    /// How far a peer may be behind.
    pub(crate) grace: Duration,
}

/// How a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    rate: LeastRate,
    deadline_ns: u64,
}

impl Pace {
    /// A transfer that begins.
    pub(crate) fn new(rate: LeastRate, now_ns: u64) -> Self {
        Self { rate, deadline_ns: after(now_ns, rate.grace) }
    }

    /// So many bytes went over.
    pub(crate) fn moved(&mut self, bytes: u64, now_ns: u64) {
        if self.rate.bytes_per_s == 0 {
            return;
        }
        let bought_ns = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate.bytes_per_s);
        let bought_ns = u64::try_from(bought_ns).unwrap_or(u64::MAX);
        let most_ns = after(now_ns, self.rate.grace);
        self.deadline_ns = self.deadline_ns.saturating_add(bought_ns).min(most_ns);
    }

    /// When it is too slow if nothing more goes over; for ever away if nothing is asked.
    pub(crate) fn deadline_ns(&self) -> u64 {
        if self.rate.bytes_per_s == 0 { u64::MAX } else { self.deadline_ns }
    }

    /// Whether it is too slow by now.
    #[cfg(test)]
    pub(crate) fn is_too_slow(&self, now_ns: u64) -> bool {
        self.deadline_ns() <= now_ns
    }
}

fn after(now_ns: u64, wait: Duration) -> u64 {
    now_ns.saturating_add(nanoseconds(wait))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;
    const RATE: LeastRate = LeastRate { bytes_per_s: 100, grace: Duration::from_secs(5) };

    #[test]
    fn nothing_within_the_grace_is_too_slow() {
        let pace = Pace::new(RATE, 7 * S);
        assert_eq!(pace.deadline_ns(), 12 * S);
        assert!(!pace.is_too_slow(12 * S - 1) && pace.is_too_slow(12 * S));
    }

    #[test]
    fn a_byte_now_and_then_is_not_enough() {
        let mut pace = Pace::new(RATE, 0);
        let ended = (1..100).find(|second| {
            pace.moved(1, second * S);
            pace.is_too_slow(second * S)
        });
        assert_eq!(ended, Some(6));
    }

    #[test]
    fn the_least_rate_is_enough_for_ever() {
        let mut pace = Pace::new(RATE, 0);
        for hundredth in 1..100_000 {
            pace.moved(1, hundredth * S / 100);
            assert!(!pace.is_too_slow(hundredth * S / 100));
        }
        assert_eq!(pace.deadline_ns(), 999_990_000_000 + 5 * S);
    }

    #[test]
    fn who_was_fast_has_no_more_than_the_grace() {
        let mut pace = Pace::new(RATE, 0);
        pace.moved(u64::MAX, S);
        assert_eq!(pace.deadline_ns(), 6 * S);
    }

    #[test]
    fn nothing_asked_is_never_too_slow() {
        let mut pace = Pace::new(LeastRate { bytes_per_s: 0, ..RATE }, 0);
        pace.moved(1, S);
        assert!(!pace.is_too_slow(u64::MAX - 1));
    }

    proptest! {
        /// Against the sum in words: the credit starts full, a byte adds its time, time takes it away.
        #[test]
        fn as_the_model(steps in prop::collection::vec((0u64..3000, 0u64..500), 0..60)) {
            let mut pace = Pace::new(RATE, 0);
            let (mut now_ms, mut credit_ms) = (0, 5000i64);
            for (pause_ms, bytes) in steps {
                now_ms += pause_ms;
                credit_ms -= pause_ms as i64;
                prop_assert_eq!(pace.is_too_slow(now_ms * 1_000_000), credit_ms <= 0);
                if credit_ms <= 0 {
                    return Ok(());
                }
                pace.moved(bytes, now_ms * 1_000_000);
                credit_ms = (credit_ms + bytes as i64 * 10).min(5000);
            }
        }
    }
}
