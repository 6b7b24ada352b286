//! The end of a ring: everything is cancelled and waited for, and only then freed.
//!
//! Closing a ring is no barrier: the kernel may go on with what is in flight, and write to its memory,
//! for milliseconds after close(2) has returned. So memory is freed only when the last completion was
//! seen, or when the kernel never saw the entry; else it is leaked.

use super::{EnterWait, Lend, Ring};
use crate::clock::Clock;
use crate::runner::Runner;
use io_uring::types;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// How long the end of a ring waits for an operation to complete before it gives up on all.
const PATIENCE_NS: u64 = 2_000_000_000;

impl<L: Lend> Ring<L> {
    /// Cancels everything that was submitted and did not complete, and lets go of its files: the kernel
    /// would do so by itself, but some time after the ring is closed. What was pushed and not submitted
    /// stays so. Linux 6.0; on an older kernel nothing is cancelled.
    fn cancel_all(&mut self) {
        let submitter = self.ring.submitter();
        // It fails if there is nothing to cancel, which is the aim.
        let _ = submitter.register_sync_cancel(None, types::CancelBuilder::any());
        // What was cancelled lets go of its file when its deferred work is done.
        let mut lying = 0;
        while self.work_waits() {
            let entered = self.call(0, EnterWait { completions: lying, ..EnterWait::default() });
            let now = self.waiting();
            if entered.is_err() || now <= lying {
                break;
            }
            lying = now;
            if lying >= self.capacity() / 2 {
                self.completions().for_each(drop);
                lying = 0;
            }
        }
    }

    /// Waits until no operation is in flight that the kernel has seen. `false` if one would not end.
    fn settle(&mut self) -> bool {
        let mut left = self.lent();
        let mut deadline = Clock::Monotonic.now().saturating_add(PATIENCE_NS);
        loop {
            self.completions().for_each(drop);
            let lent = self.lent();
            if lent == 0 {
                return true;
            }
            let now = Clock::Monotonic.now();
            if lent < left {
                left = lent;
                deadline = now.saturating_add(PATIENCE_NS);
            } else if now >= deadline {
                return false;
            }
            let timeout_ns = Some(deadline - now);
            // Whatever it fails with, the clock ends this.
            let _ = self.call(0, EnterWait { completions: 1, timeout_ns, mask: None });
        }
    }

    /// How many operations lend memory that the kernel may use.
    fn lent(&mut self) -> usize {
        if self.flights.len() == 0 {
            return 0;
        }
        let taken = self.taken();
        self.flights.submitted(taken)
    }
}

impl<L: Lend> Drop for Ring<L> {
    fn drop(&mut self) {
        if !self.made_by.is_current() {
            // SAFETY: this process' own copy of the descriptor, which nothing else closes: the ring is
            // not dropped here.
            drop(unsafe { OwnedFd::from_raw_fd(self.ring.as_raw_fd()) });
            return;
        }
        let mut settled = self.flights.len() == 0;
        // The thread's table of registered rings holds the ring open, and with it every file that is
        // polled. Only that thread can take it out; dropped elsewhere, it lasts as long as the thread.
        if self.enabled_by.is_some_and(Runner::is_current) {
            self.cancel_all();
            settled = settled || self.settle();
            self.groups.unregister(self.ring.as_raw_fd());
            self.unregister_descriptor();
        } else if !settled {
            // What has completed can be told from memory; nothing else can be done from here.
            self.completions().for_each(drop);
            settled = self.lent() == 0;
        }
        // SAFETY: it is neither used nor dropped again.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
        if settled {
            // SAFETY: as above; the kernel has seen none of what is left in the flights, and writes into
            // provided buffers only for receives, of which it has none.
            unsafe {
                ManuallyDrop::drop(&mut self.flights);
                ManuallyDrop::drop(&mut self.groups);
            }
        }
    }
}
