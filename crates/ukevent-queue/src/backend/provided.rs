//! Frames of pools that a ring has in advance, so that a thousand idle connections hold none.
//!
//! A group for each pool that somebody receives into. It keeps up to half of the pool's frames with the
//! kernel, which takes one when something arrives; the other half is the program's, and takes their
//! place; of a single frame nothing is kept. A pool that has no more is *short*: then no more receivers begin in one wait than there are
//! frames with the kernel. If there are none at all they wait for the pool, which was asked in vain and
//! calls its waker when a frame comes home. So nobody tries for ever; and they are tried in turn, some hundred in
//! a wait, so that thousands that wait for a few frames do not all look in vain.
//!
//! Where nobody receives any more the frames go home at once, but the group stays for some waits: where connections
//! come one at a time, each would make it anew. How many frames it gets begins small, and grows when they were used
//! up and with those who receive.

use crate::event::Errno;
use crate::operation::MOST_BUFFERS;
use std::sync::{Arc, Weak};
use ukevent_buf::{AllocateError, FramePool, Piece};
use ukevent_sys::ring::Ring;

/// The kernel counts them down with a sign.
const MOST_BYTES: u32 = i32::MAX as u32;

/// The most frames of one pool that the kernel has; the group's table has a place for each.
const MOST_FRAMES: u32 = 4096;

/// Frames that a new group has.
const FIRST_FRAMES: usize = 16;
/// Frames for each receiver.
const FRAMES_EACH: usize = 4;
/// Waits after which an empty group is given up.
const LINGERS: u32 = 64;

const EPERM: i32 = 1;
const EINVAL: i32 = 22;
const ENOBUFS: i32 = 105;

#[derive(Default)]
pub(super) struct Provided {
    groups: Vec<Group>,
    /// The kernel does not know how to stop a receiver after so many bytes.
    never_stops: bool,
}

struct Group {
    pool: Weak<FramePool>,
    /// The same, unless the group is empty.
    held: Option<Arc<FramePool>>,
    number: u16,
    /// The most frames that the kernel is to have, and how many it is to have now.
    most: usize,
    target: usize,
    is_short: bool,
    /// Receivers that began since the last wait.
    begun: usize,
    /// Waits since it was emptied.
    empty: u32,
}

/// Why a receiver cannot begin.
pub(super) enum NoGroup {
    /// No frame is left.
    Short,
    /// Others began in this wait for the few that are left.
    Later,
    /// The kernel has no such groups, or no memory for one.
    Unknown,
    Refused(Errno),
}

impl Provided {
    /// The group that a receiver into this pool begins with.
    pub(super) fn begin(
        &mut self,
        ring: &mut Ring<Piece>,
        pool: &Arc<FramePool>,
    ) -> Result<u16, NoGroup> {
        let at = match self.groups.iter().position(|group| group.is_of(pool)) {
            Some(at) => at,
            None => self.add(ring, pool)?,
        };
        let group = &mut self.groups[at];
        if group.held.is_none() {
            group.held = Some(Arc::clone(pool));
        }
        if group.is_short || ring.provided(group.number) == 0 {
            group.fill(ring)?;
        }
        if group.is_short {
            match ring.provided(group.number) {
                0 => return Err(NoGroup::Short),
                provided if group.begun >= provided => return Err(NoGroup::Later),
                _ => {}
            }
        }
        group.begun += 1;
        Ok(group.number)
    }

    fn add(&mut self, ring: &mut Ring<Piece>, pool: &Arc<FramePool>) -> Result<usize, NoGroup> {
        let unused = |number: &u16| self.groups.iter().all(|group| group.number != *number);
        let Some(number) = (0..=u16::MAX).find(unused) else { return Err(NoGroup::Unknown) };
        let most = (pool.frames() / 2).min(MOST_FRAMES);
        if most == 0 {
            // Whoever else receives into it would find nothing.
            return Err(NoGroup::Unknown);
        }
        // Whatever the reason, receiving goes the other way then.
        ring.add_group(number, most as u16).map_err(|_| NoGroup::Unknown)?;
        self.groups.push(Group {
            pool: Arc::downgrade(pool),
            held: None,
            number,
            most: most as usize,
            target: FIRST_FRAMES.min(most as usize),
            is_short: false,
            begun: 0,
            empty: 0,
        });
        Ok(self.groups.len() - 1)
    }

    /// After how many bytes a receiver is to stop: what was asked for, or what so many frames hold.
    pub(super) fn most_bytes(&self, pool: &FramePool, asked: u32) -> u32 {
        let room = pool.frame_bytes() - pool.headroom_bytes();
        match asked {
            _ if self.never_stops => 0,
            0 => u32::try_from(room.saturating_mul(MOST_BUFFERS)).unwrap_or(MOST_BYTES),
            asked => asked,
        }
        .min(MOST_BYTES)
    }

    /// What to make of the result of a receiver that was to stop and has ended. That it cannot be stopped
    /// is not known before one was tried, and no reason not to begin again.
    pub(super) const fn judged(&mut self, result: i32) -> i32 {
        if result == -EINVAL && !self.never_stops {
            self.never_stops = true;
            return -ENOBUFS;
        }
        result
    }

    /// Before the kernel is entered: fills up what is used, and takes back what nobody receives into.
    #[inline]
    pub(super) fn before_wait(&mut self, ring: &mut Ring<Piece>) {
        if !self.groups.is_empty() {
            self.tend(ring);
        }
    }

    #[inline(never)]
    fn tend(&mut self, ring: &mut Ring<Piece>) {
        self.groups.retain_mut(|group| {
            // What began may not be in the ring yet.
            let begun = std::mem::take(&mut group.begun);
            let receivers = ring.receivers(group.number).max(begun);
            if receivers > 0 {
                group.grow(receivers, ring.provided(group.number));
                // It was filled before, in this thread.
                let _ = group.fill(ring);
                return true;
            }
            // Its frames go home.
            let is_empty = group.empty > 0 || ring.empty_group(group.number).is_ok();
            group.empty += 1;
            if is_empty {
                group.held = None;
            }
            if is_empty && group.empty <= LINGERS && group.pool.strong_count() > 0 {
                return true;
            }
            // What the kernel will not let go of now, it may with the next wait.
            ring.remove_group(group.number).is_err()
        });
    }
}

impl Group {
    /// Whether it is that of this pool. One that has gone is no other: its place in memory is still taken.
    fn is_of(&self, pool: &Arc<FramePool>) -> bool {
        std::ptr::eq(self.pool.as_ptr(), Arc::as_ptr(pool))
    }

    /// For so many receivers, of whose frames these are left.
    fn grow(&mut self, receivers: usize, left: usize) {
        let used_up = if left == 0 { self.target * 4 } else { 0 };
        self.target = self.target.max(used_up).max(receivers * FRAMES_EACH).min(self.most);
    }

    /// Gives frames to the kernel, until it has enough or the pool has no more.
    fn fill(&mut self, ring: &mut Ring<Piece>) -> Result<(), NoGroup> {
        self.empty = 0;
        let Some(pool) = &self.held else { return Ok(()) };
        for _ in ring.provided(self.number)..self.target {
            match pool.allocate() {
                Ok(buffer) => {
                    if ring.provide(self.number, buffer.into()).is_err() {
                        // It has as many as it has places.
                        break;
                    }
                }
                Err(AllocateError::Full) => {
                    self.is_short = true;
                    return Ok(());
                }
                // The pool is another thread's.
                Err(_) => return Err(NoGroup::Refused(Errno(EPERM))),
            }
        }
        self.is_short = false;
        Ok(())
    }
}
