//! The CPU time of another process, to the nanosecond.
#![allow(unsafe_code, reason = "no safe crate asks for the clock of another process")]

use crate::Result;
use std::io::Error;

/// Nanoseconds of CPU that all threads of a process used so far, those that have ended included
/// (clock_getcpuclockid(3)).
pub(crate) fn cpu_ns_of(process: u32) -> Result<u64> {
    let mut clock = 0;
    // SAFETY: the clock's number is written to a place that is ours.
    match unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &raw mut clock) } {
        0 => {}
        error => return Err(Error::from_raw_os_error(error).into()),
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to a place that is ours.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(Error::last_os_error().into());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::cpu_ns_of;

    #[test]
    fn agrees_with_our_own_clock() {
        let before = crate::clock::process_cpu_ns();
        let between = cpu_ns_of(std::process::id()).unwrap();
        assert!(before <= between && between <= crate::clock::process_cpu_ns());
        // No process has such a number: they end at 2^22.
        assert!(cpu_ns_of((1 << 22) + 1).is_err());
    }
}
