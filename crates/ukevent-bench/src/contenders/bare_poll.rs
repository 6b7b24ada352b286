//! Bare poll(2): the list of all, looked through by the kernel and by the program at each wait.

use crate::tables::ready::{Descriptor, Readiness, Seen, Trigger};
use std::os::fd::AsRawFd;
use ukevent_measure::Result;
use ukevent_sys::poll::{PollFd, PollMask, poll};

/// The list.
#[derive(Debug)]
pub struct BarePoll(Vec<PollFd>);

impl Readiness for BarePoll {
    fn new(trigger: Trigger) -> Result<Self> {
        match trigger {
            Trigger::Level => Ok(Self(Vec::new())),
            Trigger::Edge => Err("poll has no edges".into()),
        }
    }

    fn arm(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        self.0.extend(descriptors.iter().map(|it| PollFd::new(it.as_raw_fd(), PollMask::IN)));
        Ok(())
    }

    fn reap(&mut self, seen: &mut Seen) -> Result<()> {
        let ready = poll(&mut self.0, Some(0), None)?;
        if ready > 0 {
            for (place, fd) in self.0.iter().enumerate() {
                let found = fd.reported();
                if !found.is_empty() {
                    seen.note(place as u64, found.intersects(PollMask::IN));
                }
            }
        }
        Ok(())
    }

    fn remove(&mut self, _descriptors: &[Descriptor]) -> Result<()> {
        self.0.clear();
        Ok(())
    }
}
