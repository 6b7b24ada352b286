//! epoll(7): one descriptor that watches many.

use crate::clock::timespec;
use crate::poll::PollMask;
use crate::signal::SignalSet;
use crate::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// When a watched descriptor is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// On every wait for as long as it is ready.
    Level,
    /// When it becomes ready or has news (`EPOLLET`).
    Edge,
    /// Once; then it is silent until modified (`EPOLLONESHOT`).
    Once,
}

/// A report: what is ready, and the word that was given with it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Report(libc::epoll_event);

impl Report {
    /// An empty one, to be filled.
    #[must_use]
    pub const fn empty() -> Self {
        Self(libc::epoll_event { events: 0, u64: 0 })
    }

    /// What is ready.
    #[must_use]
    pub const fn mask(&self) -> PollMask {
        PollMask::from_bits_truncate(self.0.events)
    }

    /// The word that was given when the descriptor was added.
    #[must_use]
    pub const fn data(&self) -> u64 {
        self.0.u64
    }
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Report({:#x}: {:?})", self.data(), self.mask())
    }
}

/// A close-on-exec epoll instance. Linux 2.6.27. Dropping closes it.
///
/// Several threads may wait on it at the same time: what is reported wakes one of them.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
    /// Whether epoll_pwait2 cannot be had (before 5.11, or a filter): time-outs are rounded up to 1 ms.
    coarse: AtomicBool,
}

impl Epoll {
    /// Makes an empty one.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> Result<Self> {
        // SAFETY: takes an integer, returns a new descriptor or -1.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Error::last("epoll_create1"));
        }
        // SAFETY: the kernel returned `fd` just now and nobody else owns it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, coarse: AtomicBool::new(false) })
    }

    /// Watches `fd`.
    ///
    /// # Errors
    /// `EPERM`: it cannot be polled (a regular file). `EEXIST`: it is watched already. `EBADF`,
    /// `ELOOP`, `ENOMEM`, `ENOSPC`.
    pub fn add(&self, fd: RawFd, mask: PollMask, trigger: Trigger, data: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, mask, trigger, data)
    }

    /// Changes how `fd` is watched; if it is ready now, that is reported (again).
    ///
    /// # Errors
    /// `ENOENT`: it is not watched. `EBADF`, `ENOMEM`.
    pub fn modify(&self, fd: RawFd, mask: PollMask, trigger: Trigger, data: u64) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, mask, trigger, data)
    }

    /// Watches `fd` no longer.
    ///
    /// # Errors
    /// `ENOENT`: it is not watched. `EBADF`.
    pub fn remove(&self, fd: RawFd) -> Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, PollMask::empty(), Trigger::Level, 0)
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: RawFd,
        mask: PollMask,
        trigger: Trigger,
        data: u64,
    ) -> Result<()> {
        let trigger = match trigger {
            Trigger::Level => 0,
            Trigger::Edge => libc::EPOLLET as u32,
            Trigger::Once => libc::EPOLLONESHOT as u32,
        };
        let mut event = libc::epoll_event { events: mask.bits() | trigger, u64: data };
        // SAFETY: `event` is valid for the call; the kernel checks both descriptors.
        let done = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &raw mut event) };
        if done == 0 { Ok(()) } else { Err(Error::last("epoll_ctl")) }
    }

    /// Waits until something is ready, the time is over (`None`: for ever) or a signal handler ran,
    /// with `mask` in place of the thread's signal mask while it waits. Fills `reports` from the
    /// start and returns how many. epoll_pwait2(2), or where that cannot be had epoll_pwait(2).
    ///
    /// # Errors
    /// `EINTR`.
    pub fn wait(
        &self,
        reports: &mut [Report],
        timeout_ns: Option<u64>,
        mask: Option<&SignalSet>,
    ) -> Result<usize> {
        if !self.coarse.load(Ordering::Relaxed) {
            match self.wait_fine(reports, timeout_ns, mask) {
                // The call itself never answers EPERM; filters of containers that are older do.
                Err(error) if matches!(error.errno(), libc::ENOSYS | libc::EPERM) => {
                    self.coarse.store(true, Ordering::Relaxed);
                }
                done => return done,
            }
        }
        let timeout_ms =
            timeout_ns.map_or(-1, |ns| i32::try_from(ns.div_ceil(1_000_000)).unwrap_or(i32::MAX));
        let mask = mask.map_or(std::ptr::null(), |mask| std::ptr::from_ref(mask.as_raw()));
        // SAFETY: `Report` is transparent over `epoll_event`, the slice is valid for its length,
        // the mask is null or outlives the call.
        let ready = unsafe {
            libc::epoll_pwait(
                self.fd.as_raw_fd(),
                reports.as_mut_ptr().cast(),
                i32::try_from(reports.len()).unwrap_or(i32::MAX),
                timeout_ms,
                mask,
            )
        };
        if ready < 0 { Err(Error::last("epoll_pwait")) } else { Ok(ready as usize) }
    }

    fn wait_fine(
        &self,
        reports: &mut [Report],
        timeout_ns: Option<u64>,
        mask: Option<&SignalSet>,
    ) -> Result<usize> {
        let time = timeout_ns.map(timespec);
        let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let mask = mask.map_or(std::ptr::null(), |mask| std::ptr::from_ref(mask.as_raw()));
        // SAFETY: as in `wait`; 8 is the size of the kernel's signal set, of which the C library's
        // begins with. Called by number because not every C library has the wrapper.
        let ready = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                reports.as_mut_ptr(),
                i32::try_from(reports.len()).unwrap_or(i32::MAX),
                time,
                mask,
                KERNEL_SIGSET_BYTES,
            )
        };
        if ready < 0 { Err(Error::last("epoll_pwait2")) } else { Ok(ready as usize) }
    }
}

/// Bytes of the kernel's own `sigset_t`: one bit for each of 64 signals.
pub(crate) const KERNEL_SIGSET_BYTES: usize = 8;

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
