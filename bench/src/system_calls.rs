//! How many system calls threads make, counted by the kernel (perf_event_open(2), the tracepoint
//! `raw_syscalls:sys_enter`).
//!
//! The number of the tracepoint is in tracefs. Where that is not mounted, an instance of it is opened
//! that is mounted nowhere and gone when it is closed (fsopen(2), fsmount(2)), which takes
//! CAP_SYS_ADMIN. Where neither goes, nothing is counted, and that is said.

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;
use ukevent_measure::Result;

/// Counts the calls of the thread that makes it, and of all threads that this one makes.
pub(crate) struct SystemCalls(Counter);

impl SystemCalls {
    /// From now on; `None`, said aloud once, where it cannot be.
    pub(crate) fn of_this_thread() -> Option<Self> {
        static NUMBER: OnceLock<Option<u64>> = OnceLock::new();
        let number = (*NUMBER.get_or_init(|| {
            tracepoint()
                .inspect_err(|error| eprintln!("SKIPPED: no system call is counted: {error}"))
                .ok()
        }))?;
        let open = || -> Result<Self> {
            // Their entry is an event of the kernel.
            let mut builder = Builder::new(Tracepoint::with_id(number));
            let mut counter =
                builder.observe_self().any_cpu().include_kernel().inherit(true).build()?;
            counter.enable()?;
            Ok(Self(counter))
        };
        open().inspect_err(|error| eprintln!("SKIPPED: no system call is counted: {error}")).ok()
    }

    /// How many there were.
    pub(crate) fn count(&mut self) -> Result<u64> {
        Ok(self.0.read()?)
    }
}

const PLACE: &str = "events/raw_syscalls/sys_enter/id";

/// The tracepoint's number.
fn tracepoint() -> Result<u64> {
    let mounted = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let mounted =
        mounted.iter().find_map(|it| std::fs::read_to_string(format!("{it}/{PLACE}")).ok());
    let words = match mounted {
        Some(words) => words,
        None => unmounted().map_err(|error| format!("tracefs is not to be had: {error}"))?,
    };
    Ok(words.trim().parse()?)
}

fn unmounted() -> Result<String> {
    let system = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&system)?;
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let root = fsmount(&system, FsMountFlags::FSMOUNT_CLOEXEC, flags)?;
    let mut words = String::new();
    File::from(openat(&root, PLACE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
        .read_to_string(&mut words)?;
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::SystemCalls;
    use std::io::Write;

    const HERE: &str = concat!(module_path!(), "::counts_what_the_thread_does");

    #[test]
    fn counts_what_the_thread_does() {
        let Some(mut calls) = SystemCalls::of_this_thread() else {
            // Past the test runner, which keeps what a test that passed has printed.
            writeln!(std::io::stderr(), "SKIPPED: {HERE}: no system call can be counted").unwrap();
            return;
        };
        let before = calls.count().unwrap();
        for _ in 0..1000 {
            let _ = rustix::process::getppid();
        }
        let counted = calls.count().unwrap() - before;
        assert!((1000..1010).contains(&counted), "{counted} of 1,000 calls");
    }
}
