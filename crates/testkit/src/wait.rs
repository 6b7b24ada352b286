//! Waiting for what another process, thread or the kernel is about to do.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than any machine needs, shorter than anybody's patience. No test depends on its size.
const BOUND: Duration = Duration::from_secs(60);

/// For what was set going and only has to end; whoever waits longer has lost it.
pub(crate) const SETTLING: Duration = Duration::from_secs(10);

/// Whether `condition` comes to hold within ten seconds: for what is to end by itself, and may not.
///
/// ```
/// assert!(testkit::settles(|| true));
/// ```
#[must_use]
pub fn settles(condition: impl FnMut() -> bool) -> bool {
    holds_within(SETTLING, condition)
}

/// Calls `condition` until it holds. Sleeps in between, from 1 ms growing to 16 ms.
///
/// For conditions that nothing announces (a socket's queue, an entry of `/proc`). Where something
/// can be waited for, wait for that.
///
/// ```
/// let child = std::process::Command::new("true").spawn()?;
/// # let mut child = child;
/// testkit::wait_until("the child has ended", || child.try_wait().is_ok_and(|end| end.is_some()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
///
/// If it does not hold within a minute, with `what` in the message.
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(BOUND, condition), "waited {BOUND:?} in vain until {what}");
}

pub(crate) fn holds_within(bound: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        // Looked at before the clock: a test that was not scheduled for a minute has not failed.
        if condition() {
            return true;
        }
        if start.elapsed() >= bound {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(16));
    }
}

#[cfg(test)]
mod tests {
    use super::{holds_within, wait_until};
    use std::time::Duration;

    #[test]
    fn asks_until_it_holds() {
        let mut asked = 0;
        wait_until("it was asked three times", || {
            asked += 1;
            asked == 3
        });
        assert_eq!(asked, 3);
    }

    #[test]
    fn gives_up() {
        assert!(!holds_within(Duration::from_millis(5), || false));
    }

    #[test]
    fn what_holds_already_needs_no_time() {
        assert!(holds_within(Duration::ZERO, || true));
    }
}
