//! The descriptors of this process counted before and after a test: one that is left fails it.
//!
//! The table of descriptors is the process's, so what a test left can be told only where no other test
//! runs beside it. That is so under `cargo nextest`, in [`alone`](crate::alone) and with
//! `--test-threads=1`. Elsewhere nothing is counted, and a line on standard error says so.

use crate::{alone::is_alone, descriptors::descriptors, wait};
use std::{collections::BTreeMap, fmt, path::PathBuf, thread, time::Duration};

/// What was open when it was made. Dropped, it looks whether the same is open again, and panics if not.
///
/// Of [`count_descriptors`]. Nothing is looked at while a panic unwinds: the test has failed already.
#[derive(Debug)]
#[must_use = "it counts again when it is dropped"]
pub struct DescriptorCount {
    /// `None` where other tests open and close theirs meanwhile.
    before: Option<BTreeMap<i32, PathBuf>>,
    patience: Duration,
}

/// Counts the descriptors of this process now and when the result is dropped. To be called on the
/// test's own thread, before the test makes anything: then it is dropped after all of that.
///
/// A thread that was not waited for may have one open yet, and a closed socket may be held by what
/// the kernel does for it: so the second count is repeated until it agrees with the first, for ten
/// seconds at most.
///
/// ```
/// let _count = testkit::count_descriptors();
/// let (reader, writer) = testkit::pipe_pair();
/// ```
///
/// # Panics
///
/// Without a proc file system. When dropped: if a descriptor is open that was not before, or the other
/// way round; the message has each, with what it is.
pub fn count_descriptors() -> DescriptorCount {
    DescriptorCount::with_patience(wait::SETTLING)
}

impl DescriptorCount {
    fn with_patience(patience: Duration) -> Self {
        let before = is_alone().then(descriptors);
        if before.is_none() {
            eprintln!("descriptors are not counted: other tests run in this process");
        }
        Self { before, patience }
    }
}

impl Drop for DescriptorCount {
    fn drop(&mut self) {
        let Some(before) = self.before.take().filter(|_| !thread::panicking()) else { return };
        let mut difference = Difference::default();
        let agrees = wait::holds_within(self.patience, || {
            difference = Difference::between(&before, &descriptors());
            difference.is_none()
        });
        assert!(agrees, "{difference}");
    }
}

/// What two counts do not have in common. A number with another file behind it is in both parts.
#[derive(Default)]
pub(crate) struct Difference {
    left: Vec<(i32, PathBuf)>,
    gone: Vec<(i32, PathBuf)>,
}

impl Difference {
    pub(crate) fn between(before: &BTreeMap<i32, PathBuf>, after: &BTreeMap<i32, PathBuf>) -> Self {
        let only_in = |one: &BTreeMap<i32, PathBuf>, other: &BTreeMap<i32, PathBuf>| {
            let others = one.iter().filter(|(number, target)| other.get(number) != Some(target));
            others.map(|(&number, target)| (number, target.clone())).collect()
        };
        Self { left: only_in(after, before), gone: only_in(before, after) }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.left.is_empty() && self.gone.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left open: {:?}; closed of before: {:?}", self.left, self.gone)
    }
}

#[cfg(test)]
mod tests {
    use super::{DescriptorCount, count_descriptors};
    use crate::{alone, pipe_pair};
    use std::{fs::File, io::Read, os::fd::AsRawFd, panic, thread, time::Duration};

    /// What is said of a test like this body.
    fn verdict(body: impl FnOnce()) -> Option<String> {
        let run = || {
            // What it finds here does not go away.
            let _count = DescriptorCount::with_patience(Duration::ZERO);
            body();
        };
        let panic = panic::catch_unwind(panic::AssertUnwindSafe(run)).err()?;
        Some(panic.downcast_ref::<String>().expect("a message").clone())
    }

    #[test]
    fn what_is_left_open_is_named() {
        alone(|| {
            let said = verdict(|| std::mem::forget(File::open("/dev/null").unwrap())).unwrap();
            assert!(said.starts_with("left open: [(") && said.contains("/dev/null"), "{said}");
            assert!(said.ends_with("closed of before: []"), "{said}");
        });
    }

    #[test]
    fn what_is_closed_of_before_is_named() {
        alone(|| {
            let file = File::open("/dev/null").unwrap();
            let said = verdict(|| drop(file)).unwrap();
            assert!(said.starts_with("left open: []; closed of before: [("), "{said}");
        });
    }

    #[test]
    fn another_file_of_the_same_number_is_no_substitute() {
        alone(|| {
            let file = File::open("/dev/null").unwrap();
            let number = file.as_raw_fd();
            let replace = || {
                drop(file);
                let other = File::open("/dev/zero").unwrap();
                assert_eq!(other.as_raw_fd(), number, "the lowest number is used");
                std::mem::forget(other);
            };
            let said = verdict(replace).unwrap();
            assert!(said.contains("/dev/zero") && said.contains("/dev/null"), "{said}");
        });
    }

    #[test]
    fn what_is_closed_again_is_nothing() {
        alone(|| assert_eq!(verdict(|| drop(pipe_pair())), None));
    }

    #[test]
    fn a_failed_test_has_its_own_message() {
        alone(|| {
            let fails = || {
                std::mem::forget(File::open("/dev/null").unwrap());
                panic::panic_any("of the test".to_owned());
            };
            assert_eq!(verdict(fails).unwrap(), "of the test");
        });
    }

    #[test]
    fn a_thread_that_ends_by_itself_is_waited_for() {
        alone(|| {
            let count = count_descriptors();
            let (mut reader, writer) = pipe_pair();
            thread::spawn(move || {
                // It ends when this thread is in the second count, or before.
                let _ = reader.read(&mut [0]);
            });
            drop(writer);
            drop(count);
        });
    }
}
