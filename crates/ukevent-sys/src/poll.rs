//! poll(2): the oldest way to ask, and the bits that all the others use.

use crate::clock::timespec;
use crate::signal::SignalSet;
use crate::{Error, Result};
use bitflags::bitflags;
use std::os::fd::RawFd;

bitflags! {
    /// The bits of poll(2), which epoll and io_uring share.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PollMask: u32 {
        /// `POLLIN`.
        const IN = 0x001;
        /// `POLLPRI`.
        const PRI = 0x002;
        /// `POLLOUT`.
        const OUT = 0x004;
        /// `POLLERR`; always reported.
        const ERR = 0x008;
        /// `POLLHUP`; always reported.
        const HUP = 0x010;
        /// `POLLNVAL`: not a descriptor; always reported.
        const NVAL = 0x020;
        /// `POLLRDHUP`.
        const RDHUP = 0x2000;
    }
}

/// One descriptor to ask about: the kernel's `struct pollfd`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct PollFd(libc::pollfd);

impl PollFd {
    /// Asks about `fd`. A number that is no descriptor answers [`PollMask::NVAL`]; a negative one is
    /// passed over.
    #[must_use]
    pub const fn new(fd: RawFd, mask: PollMask) -> Self {
        Self(libc::pollfd { fd, events: mask.bits() as i16, revents: 0 })
    }

    /// The descriptor's number.
    #[must_use]
    pub const fn number(&self) -> RawFd {
        self.0.fd
    }

    /// What is asked.
    #[must_use]
    pub const fn mask(&self) -> PollMask {
        PollMask::from_bits_truncate(self.0.events as u16 as u32)
    }

    /// Answers in the kernel's place.
    pub const fn set_reported(&mut self, mask: PollMask) {
        self.0.revents = mask.bits() as i16;
    }

    /// What the last call reported.
    #[must_use]
    pub const fn reported(&self) -> PollMask {
        PollMask::from_bits_truncate(self.0.revents as u16 as u32)
    }
}

impl std::fmt::Debug for PollFd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PollFd({}: {:?})", self.0.fd, self.reported())
    }
}

/// Waits until one of `fds` is ready, the time is over (`None`: for ever) or a signal handler ran,
/// with `mask` in place of the thread's signal mask while it waits. Returns how many are ready.
/// ppoll(2), Linux 2.6.16. Costs time linear in `fds`.
///
/// The kernel refuses a list that is longer than `RLIMIT_NOFILE`, also if it names a descriptor several times,
/// or none. Then each is asked about once, which allocates.
///
/// # Errors
/// `EINTR`, `ENOMEM`; `EINVAL` if there are more descriptors than `RLIMIT_NOFILE`.
pub fn poll(
    fds: &mut [PollFd],
    timeout_ns: Option<u64>,
    mask: Option<&SignalSet>,
) -> Result<usize> {
    match poll_list(fds, timeout_ns, mask) {
        Err(error) if error.errno() == libc::EINVAL && fds.len() > 1 => {
            poll_each_once(fds, timeout_ns, mask)
        }
        ready => ready,
    }
}

/// The same, for a list that is too long because descriptors are in it several times, or none.
#[cold]
fn poll_each_once(
    fds: &mut [PollFd],
    timeout_ns: Option<u64>,
    mask: Option<&SignalSet>,
) -> Result<usize> {
    let mut each: Vec<PollFd> = fds.iter().copied().filter(|fd| fd.number() >= 0).collect();
    each.sort_unstable_by_key(PollFd::number);
    each.dedup_by(|again, first| {
        let is_same = again.number() == first.number();
        if is_same {
            *first = PollFd::new(first.number(), first.mask() | again.mask());
        }
        is_same
    });
    poll_list(&mut each, timeout_ns, mask)?;
    let always = PollMask::ERR | PollMask::HUP | PollMask::NVAL;
    let mut ready = 0;
    for fd in fds {
        let found = each.binary_search_by_key(&fd.number(), PollFd::number);
        let reported = found.map_or(PollMask::empty(), |at| each[at].reported());
        fd.set_reported(reported & (fd.mask() | always));
        ready += usize::from(!fd.reported().is_empty());
    }
    Ok(ready)
}

fn poll_list(
    fds: &mut [PollFd],
    timeout_ns: Option<u64>,
    mask: Option<&SignalSet>,
) -> Result<usize> {
    let time = timeout_ns.map(timespec);
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mask = mask.map_or(std::ptr::null(), |mask| std::ptr::from_ref(mask.as_raw()));
    // SAFETY: `PollFd` is transparent over `pollfd`, the slice is valid for its length, and time
    // and mask are null or point to values that outlive the call.
    let ready =
        unsafe { libc::ppoll(fds.as_mut_ptr().cast(), fds.len() as libc::nfds_t, time, mask) };
    if ready < 0 { Err(Error::last("ppoll")) } else { Ok(ready as usize) }
}
