//! Frames of pools that a ring has in advance, so that a thousand idle connections hold none.
//!
//! A group for each pool that somebody receives into. It keeps up to half of the pool's frames with the
//! kernel, which takes one when something arrives; the other half is the program's, and takes their
//! place; of a single frame nothing is kept. A pool that has no more is *short*: then no more receivers begin in one wait than there are
//! frames with the kernel. If there are none at all they wait for the pool, which was asked in vain and
//! calls its waker when a frame comes home. So nobody tries for ever; and they are tried in turn, some hundred in
//! a wait, so that thousands that wait for a few frames do not all look in vain.

use crate::event::Errno;
use crate::operation::MOST_BUFFERS;
use std::sync::Arc;
use ukevent_buf::{AllocateError, FramePool, Piece};
use ukevent_sys::ring::Ring;

/// The kernel counts them down with a sign.
const MOST_BYTES: u32 = i32::MAX as u32;

/// The most frames of one pool that the kernel has; the group's table has a place for each.
const MOST_FRAMES: u32 = 4096;

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
    pool: Arc<FramePool>,
    number: u16,
    /// How many frames the kernel is to have.
    target: usize,
    is_short: bool,
    /// Receivers that began since the last wait.
    begun: usize,
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
        let at = match self.groups.iter().position(|group| Arc::ptr_eq(&group.pool, pool)) {
            Some(at) => at,
            None => self.add(ring, pool)?,
        };
        let group = &mut self.groups[at];
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
        let target = (pool.frames() / 2).min(MOST_FRAMES);
        if target == 0 {
            // Whoever else receives into it would find nothing.
            return Err(NoGroup::Unknown);
        }
        // Whatever the reason, receiving goes the other way then.
        ring.add_group(number, target as u16).map_err(|_| NoGroup::Unknown)?;
        self.groups.push(Group {
            pool: pool.clone(),
            number,
            target: target as usize,
            is_short: false,
            begun: 0,
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
            if std::mem::take(&mut group.begun) > 0 || ring.receivers(group.number) > 0 {
                // It was filled before, in this thread.
                let _ = group.fill(ring);
                return true;
            }
            // Its frames go home. What the kernel will not let go of now, it may with the next wait.
            ring.remove_group(group.number).is_err()
        });
    }
}

impl Group {
    /// Gives frames to the kernel, until it has enough or the pool has no more.
    fn fill(&mut self, ring: &mut Ring<Piece>) -> Result<(), NoGroup> {
        for _ in ring.provided(self.number)..self.target {
            match self.pool.allocate() {
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
