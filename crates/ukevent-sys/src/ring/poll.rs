//! Entries that lend nothing: watching a descriptor, and ending what was asked for.

use super::flights::Flight;
use crate::poll::PollMask;
use io_uring::{opcode, squeue, types};
use std::os::fd::RawFd;

/// A submission that lends no memory, ready to be pushed.
///
/// Its `user_data` may be any word but one whose bits 31 and 30 are 0 and 1: by these the ring knows
/// what was started with [`Ring::start`](super::Ring::start).
///
/// ```
/// use ukevent_sys::{poll::PollMask, ring::Submission};
///
/// let asks = Submission::poll(0, PollMask::IN, false, 7);
/// let ends = Submission::end_poll(7, 7 | 1 << 31);
/// # let _ = (asks, ends);
/// ```
#[derive(Clone, Debug)]
pub struct Submission(pub(super) squeue::Entry);

/// `POLLRDBAND`. The kernel takes `POLLPRI` for one of its own flags and passes over wake-ups that
/// carry nothing else that was asked for; those of urgent data carry this too.
const PRIORITY_WAKES: u32 = 0x80;

impl Submission {
    /// # Panics
    /// If the word is a flight's: its completion would be taken for the flight's own, and give back
    /// memory that is still lent.
    #[inline]
    fn named(entry: squeue::Entry, user_data: u64) -> Self {
        assert!(!Flight::is_one(user_data), "bits 31 and 30 of user_data are a flight's");
        Self(entry.user_data(user_data))
    }

    /// Reports once, or each time, that `fd` is ready: `IORING_OP_POLL_ADD`, once since Linux 5.1,
    /// each time (`multishot`) since 5.13. The kernel holds the file until the last completion.
    ///
    /// Two things poll(2) does not do: [`PollMask::RDHUP`] is reported unasked, and
    /// [`PollMask::PRI`], if asked for, also when there is ordinary data (both up to Linux 6.18).
    ///
    /// # Panics
    /// If bits 31 and 30 of `user_data` are 0 and 1.
    #[must_use]
    #[inline]
    pub fn poll(fd: RawFd, mask: PollMask, multishot: bool, user_data: u64) -> Self {
        let mut bits = mask.bits();
        if mask.contains(PollMask::PRI) {
            bits |= PRIORITY_WAKES;
        }
        let entry = opcode::PollAdd::new(types::Fd(fd), bits).multi(multishot).build();
        Self::named(entry, user_data)
    }

    /// Ends the poll that carries `target`, which completes with `ECANCELED`. Completes itself only if
    /// it fails: `ENOENT`, there is no such poll; `EALREADY`, its wake-up has come and waits to be
    /// worked off. It then goes on (seen on Linux 6.18), for ever if it reports each time:
    /// [`Submission::cancel`] ends it. Needs `IOSQE_CQE_SKIP_SUCCESS`, Linux 5.17.
    ///
    /// # Panics
    /// If bits 31 and 30 of `user_data` are 0 and 1.
    #[must_use]
    #[inline]
    pub fn end_poll(target: u64, user_data: u64) -> Self {
        let entry = opcode::PollRemove::new(target).build();
        Self::named(entry.flags(squeue::Flags::SKIP_SUCCESS), user_data)
    }

    /// Ends what carries `target`, in whatever state it is; twice as dear as [`Submission::end_poll`].
    /// Completes itself only if there is no such thing (`ENOENT`). Linux 5.17, as above.
    ///
    /// # Panics
    /// If bits 31 and 30 of `user_data` are 0 and 1.
    #[must_use]
    pub fn cancel(target: u64, user_data: u64) -> Self {
        let entry = opcode::AsyncCancel::new(target).build();
        Self::named(entry.flags(squeue::Flags::SKIP_SUCCESS), user_data)
    }
}
