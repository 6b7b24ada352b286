//! What this process has open, and how much it may.

use crate::count::Difference;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// The open descriptors of this process and what each is, as proc(5) says it (`socket:[4711]`,
/// `anon_inode:[eventpoll]`, a path).
///
/// Other threads open and close theirs meanwhile: see [`alone`](crate::alone).
///
/// # Panics
///
/// Without a proc file system.
#[must_use]
pub fn descriptors() -> BTreeMap<i32, PathBuf> {
    let own = PathBuf::from(format!("/proc/{}/fd", std::process::id()));
    let entries = fs::read_dir("/proc/self/fd").expect("proc(5) is mounted");
    entries
        .filter_map(|entry| {
            let entry = entry.expect("/proc/self/fd can be read");
            let number = entry.file_name().to_str()?.parse().ok()?;
            // An entry without a target was closed by another thread just now.
            Some((number, fs::read_link(entry.path()).ok()?))
        })
        // The descriptor by which the folder is being read.
        .filter(|(_, target)| *target != own)
        .collect()
}

/// How many descriptors this process has open.
#[must_use]
pub fn fd_count() -> usize {
    descriptors().len()
}

/// Runs `body` and checks that it leaves open exactly what was open before, without a wait.
///
/// The test must be [`alone`](crate::alone) in its process.
///
/// # Panics
///
/// If a descriptor was opened and not closed, or one of before is closed: it names them.
pub fn assert_no_leak<T>(body: impl FnOnce() -> T) -> T {
    let before = descriptors();
    let result = body();
    let difference = Difference::between(&before, &descriptors());
    assert!(difference.is_none(), "{difference}");
    result
}

/// Raises the soft limit of descriptors to the hard one and returns it.
///
/// # Panics
///
/// If the kernel refuses what getrlimit(2) says it allows.
pub fn raise_nofile() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("a process may raise its soft limit to the hard one");
    limit.maximum.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{assert_no_leak, descriptors, fd_count, raise_nofile};
    use crate::{alone, pipe_pair};
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::{fs::File, os::fd::AsRawFd, panic};

    #[test]
    fn counts_what_is_open() {
        alone(|| {
            let before = fd_count();
            let ends = pipe_pair();
            assert_eq!(fd_count(), before + 2);
            drop(ends);
            assert_eq!(fd_count(), before);
        });
    }

    #[test]
    fn names_what_is_open() {
        let null = File::open("/dev/null").unwrap();
        assert_eq!(descriptors()[&null.as_raw_fd()].to_str(), Some("/dev/null"));
    }

    #[test]
    fn a_leak_is_named() {
        alone(|| {
            let leak = || assert_no_leak(|| std::mem::forget(File::open("/dev/null").unwrap()));
            let panic = panic::catch_unwind(leak).unwrap_err();
            let message = panic.downcast_ref::<String>().unwrap();
            assert!(message.contains("left open") && message.contains("/dev/null"), "{message}");
            assert_no_leak(|| drop(File::open("/dev/null").unwrap()));
        });
    }

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        alone(|| {
            let maximum = getrlimit(Resource::Nofile).maximum;
            setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
            let raised = raise_nofile();
            let limit = getrlimit(Resource::Nofile);
            assert_eq!(limit.current, limit.maximum);
            assert_eq!(limit.current.unwrap_or(u64::MAX), raised);
        });
    }
}
