//! Reading the clocks (clock_gettime(2)), in nanoseconds.
//!
//! Through the vDSO: no system call on common machines, about 20 ns.

/// A clock of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Clock {
    /// Time since some start, never set; stands still while the machine is suspended
    /// (`CLOCK_MONOTONIC`).
    #[default]
    Monotonic,
    /// As monotonic, but goes on while the machine is suspended (`CLOCK_BOOTTIME`).
    Boot,
    /// Time since 1970-01-01 00:00 UTC; may be set, forwards or back (`CLOCK_REALTIME`).
    Wall,
}

impl Clock {
    pub(crate) const fn id(self) -> libc::clockid_t {
        match self {
            Self::Monotonic => libc::CLOCK_MONOTONIC,
            Self::Boot => libc::CLOCK_BOOTTIME,
            Self::Wall => libc::CLOCK_REALTIME,
        }
    }

    /// The time of this clock now, in nanoseconds. Does not fail, block or allocate.
    ///
    /// ```
    /// use ukevent_sys::clock::Clock;
    /// let earlier = Clock::Monotonic.now();
    /// assert!(Clock::Monotonic.now() >= earlier);
    /// ```
    #[must_use]
    #[inline]
    pub fn now(self) -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid timespec for the kernel to fill; the clock ids are constants
        // that every supported kernel has, so the call cannot fail.
        unsafe { libc::clock_gettime(self.id(), &raw mut time) };
        // A wall clock set before 1970 reads as 0.
        u64::try_from(time.tv_sec)
            .map_or(0, |s| s.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec as u64))
    }
}

/// Processor time of the calling thread so far, in the program and in the kernel, in nanoseconds
/// (getrusage(2), `RUSAGE_THREAD`). The sum is exact, the parts are as the kernel guesses them from its ticks.
///
/// ```
/// let (user_ns, system_ns) = ukevent_sys::clock::thread_times();
/// assert!(user_ns + system_ns > 0);
/// ```
#[must_use]
pub fn thread_times() -> (u64, u64) {
    // SAFETY: all zeros are a valid rusage, which is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid rusage for the kernel to fill; with these arguments it cannot fail.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000;
    (ns(usage.ru_utime), ns(usage.ru_stime))
}

/// Nanoseconds of processor time that all threads of a process used so far, those that have ended included
/// (clock_getcpuclockid(3)).
///
/// ```
/// use ukevent_sys::clock::process_cpu_ns_of;
///
/// let before = process_cpu_ns_of(std::process::id())?;
/// assert!(process_cpu_ns_of(std::process::id())? >= before);
/// // No process has such a number: they end at 2^22.
/// assert!(process_cpu_ns_of((1 << 22) + 1).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// `ESRCH`, if there is no such process.
pub fn process_cpu_ns_of(process: u32) -> std::io::Result<u64> {
    let mut clock = 0;
    // SAFETY: the clock's number is written to a place that is ours.
    match unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &raw mut clock) } {
        0 => {}
        error => return Err(std::io::Error::from_raw_os_error(error)),
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to a place that is ours.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Nanoseconds as the kernel's pair of seconds and nanoseconds.
#[must_use]
pub(crate) const fn timespec(ns: u64) -> libc::timespec {
    // Below 2^64 ns the seconds are below 2^35: both casts keep the value.
    libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    }
}
