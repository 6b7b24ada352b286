//! When a registration is reported, and for what.

use crate::event::Readiness;
use bitflags::bitflags;
use ukevent_sys::poll::PollMask;

bitflags! {
    /// What a descriptor is watched for. Errors and hang-ups are reported whether asked for or not.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Interest: u16 {
        /// Something to read, or a connection to accept.
        const READ = 0x001;
        /// Urgent data, or an exceptional condition.
        const PRIORITY = 0x002;
        /// Room to write.
        const WRITE = 0x004;
        /// The peer closed its writing side. With level mode it stays so: watch for it once.
        const PEER_CLOSED = 0x2000;
    }
}

impl Interest {
    pub(crate) const fn mask(self) -> PollMask {
        PollMask::from_bits_truncate(self.bits() as u32)
    }
}

impl Readiness {
    pub(crate) const fn from_mask(mask: PollMask) -> Self {
        Self::from_bits_truncate(mask.bits() as u16)
    }
}

/// When a registration is reported.
///
/// For descriptors the four differ as below. The other sources report occurrences rather than a
/// state (a timer expired, a file was made), each of them once: for those, level and edge are the
/// same.
///
/// Registering, enabling and modifying look at the state anew, in every mode: a descriptor that is
/// ready then is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// In every wait for as long as it is so. The state is looked at again by the wait that lets the
    /// event out: one that is no longer true then is dropped. Between that wait and the event
    /// nobody looks: handling one event may make another untrue.
    #[default]
    Level,
    /// When it becomes so, and when there is news while it is. Read or write until the call would
    /// block, or events are missed.
    Edge,
    /// Once; delivering it removes the registration.
    OneShot,
    /// Once; delivering it disables the registration until it is enabled again. What happens
    /// meanwhile is kept.
    Dispatch,
}
