//! Which thread this is: a number that is never used again, and a lane of the return rings.
//!
//! Reading either is one load from the thread's own memory. The standard library's `ThreadId` costs
//! a reference count, and the address of a thread-local is used again by the next thread.
//!
//! When a thread ends it gives its lane to whoever asks next, and lets go of what it owns, so that
//! the thread that holds the handle of a pool may use it or free it.

use crate::primitive::{AtomicU32, Ordering};
use crate::returns::LANES;
#[cfg(not(loom))]
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

/// No thread's number. Numbers are even: [`Home`](crate::home::Home) marks the lowest bit.
pub(crate) const NOBODY: u64 = u64::MAX - 1;

/// What [`id_so_far`] says in a thread that has no number yet; nobody's either.
const UNKNOWN_ID: u64 = 0;

/// Something that belongs to a thread, and what to do with it when the thread ends.
#[cfg_attr(loom, allow(dead_code, reason = "threads of a model end with the model"))]
pub(crate) struct Possession {
    pub(crate) what: NonNull<()>,
    /// Called once, in the thread, with `what`, unless [`disown`] came before.
    pub(crate) thread_ends: unsafe fn(NonNull<()>),
}

/// Which lanes are taken: a bit each.
#[cfg_attr(loom, allow(dead_code, reason = "models make their own"))]
pub(crate) struct Lanes(AtomicU32);

const _: () = assert!(LANES < 32, "a bit for each");

#[cfg_attr(loom, allow(dead_code, reason = "models make their own"))]
impl Lanes {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// A lane that nobody has; `None` if all are taken.
    pub(crate) fn take(&self) -> Option<usize> {
        let mut taken = self.0.load(Ordering::Relaxed);
        loop {
            let lane = taken.trailing_ones() as usize;
            if lane >= LANES {
                return None;
            }
            // Acquire: what its last holder did with the lane comes before what this one does.
            match self.0.compare_exchange_weak(
                taken,
                taken | 1 << lane,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(lane),
                Err(now) => taken = now,
            }
        }
    }

    pub(crate) fn put(&self, lane: usize) {
        self.0.fetch_and(!(1 << lane), Ordering::Release);
    }
}

#[cfg(not(loom))]
mod of_the_system {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(2);
    static FREE: Lanes = Lanes::new();

    /// The thread has not asked for a lane, or got none.
    const UNKNOWN: u8 = u8::MAX;
    /// The thread is ending and takes no lane any more.
    const ENDED: u8 = u8::MAX - 1;

    /// What is given up when the thread ends.
    struct Ends {
        lane: Cell<Option<usize>>,
        possessions: RefCell<Vec<Possession>>,
    }

    thread_local! {
        // These two have no destructor: reading them needs no check, and works to the very end.
        static ID: Cell<u64> = const { Cell::new(UNKNOWN_ID) };
        static LANE: Cell<u8> = const { Cell::new(UNKNOWN) };
        static ENDS: Ends =
            const { Ends { lane: Cell::new(None), possessions: RefCell::new(Vec::new()) } };
    }

    impl Drop for Ends {
        fn drop(&mut self) {
            LANE.set(ENDED);
            if let Some(lane) = self.lane.take() {
                FREE.put(lane);
            }
            for possession in self.possessions.take() {
                // SAFETY: `own` was promised that this may be called while it is not disowned, and
                // what was disowned is not in the list.
                unsafe { (possession.thread_ends)(possession.what) };
            }
        }
    }

    /// The number of this thread, or nobody's if it was never asked for by [`id`]: enough to see
    /// whether something is this thread's.
    #[inline(always)]
    pub(crate) fn id_so_far() -> u64 {
        ID.get()
    }

    /// The number of this thread.
    pub(crate) fn id() -> u64 {
        if ID.get() == UNKNOWN_ID {
            ID.set(NEXT.fetch_add(2, Ordering::Relaxed));
        }
        ID.get()
    }

    /// This thread's lane. `None` if all are taken, or the thread is ending.
    #[inline]
    pub(crate) fn lane() -> Option<usize> {
        let lane = LANE.get() as usize;
        if lane < LANES { Some(lane) } else { first_lane() }
    }

    #[cold]
    fn first_lane() -> Option<usize> {
        if LANE.get() == ENDED {
            return None;
        }
        let take = |ends: &Ends| {
            let lane = FREE.take()?;
            ends.lane.set(Some(lane));
            LANE.set(lane as u8);
            Some(lane)
        };
        ENDS.try_with(take).ok().flatten()
    }

    /// Enters a possession of this thread. False if the thread is ending.
    ///
    /// # Safety
    /// Its `thread_ends` must be sound to call in this thread with its `what`, until [`disown`].
    pub(crate) unsafe fn own(possession: Possession) -> bool {
        ENDS.try_with(|ends| ends.possessions.borrow_mut().push(possession)).is_ok()
    }

    /// Strikes a possession of this thread. Those of an ending thread are struck already.
    pub(crate) fn disown(what: NonNull<()>) {
        let _ = ENDS.try_with(|ends| ends.possessions.borrow_mut().retain(|it| it.what != what));
    }
}

#[cfg(not(loom))]
pub(crate) use of_the_system::{disown, id, id_so_far, lane, own};

#[cfg(loom)]
mod of_the_model {
    use super::*;
    use crate::primitive::AtomicU64;
    use std::cell::Cell;

    loom::lazy_static! {
        static ref NEXT: AtomicU64 = AtomicU64::new(2);
    }

    loom::thread_local! {
        static ID: Cell<u64> = Cell::new(UNKNOWN_ID);
        static LANE: Cell<Option<usize>> = Cell::new(None);
    }

    pub(crate) fn id() -> u64 {
        ID.with(|id| {
            if id.get() == UNKNOWN_ID {
                id.set(NEXT.fetch_add(2, Ordering::Relaxed));
            }
            id.get()
        })
    }

    pub(crate) fn id_so_far() -> u64 {
        ID.with(Cell::get)
    }

    pub(crate) fn lane() -> Option<usize> {
        LANE.with(Cell::get)
    }

    /// The models say which thread has which lane.
    #[cfg(test)]
    pub(crate) fn set_lane(lane: usize) {
        LANE.with(|own| own.set(Some(lane)));
    }

    /// # Safety
    /// None: threads of a model end nothing.
    pub(crate) unsafe fn own(_: Possession) -> bool {
        true
    }

    pub(crate) fn disown(_: NonNull<()>) {}
}

#[cfg(all(loom, test))]
pub(crate) use of_the_model::set_lane;
#[cfg(loom)]
pub(crate) use of_the_model::{disown, id, id_so_far, lane, own};

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn numbers_are_even_and_one_s_own() {
        let mine = id();
        assert_eq!((mine, mine % 2), (id(), 0));
        let other = std::thread::spawn(id).join().unwrap();
        assert_ne!(mine, other);
        let third = std::thread::spawn(id).join().unwrap();
        assert_ne!(other, third, "the number of a thread that ended is not used again");
    }

    #[test]
    fn lanes_are_all_given_and_given_again() {
        let lanes = Lanes::new();
        let all: Vec<_> = (0..LANES).map(|_| lanes.take().unwrap()).collect();
        assert_eq!(all, (0..LANES).collect::<Vec<_>>());
        assert_eq!(lanes.take(), None);
        lanes.put(3);
        assert_eq!((lanes.take(), lanes.take()), (Some(3), None));
    }

    #[test]
    fn threads_beyond_the_lanes_have_none_until_one_ends() {
        testkit::alone(|| {
            let threads: Vec<_> = (0..=LANES)
                .map(|_| {
                    let (told, tell) = mpsc::channel();
                    let (end, ended) = mpsc::channel::<()>();
                    let thread = std::thread::spawn(move || {
                        let first = lane();
                        told.send(first).unwrap();
                        ended.recv().unwrap();
                        lane()
                    });
                    (tell.recv().unwrap(), end, thread)
                })
                .collect();
            let mut given: Vec<_> = threads.iter().filter_map(|it| it.0).collect();
            given.sort_unstable();
            assert_eq!(given, (0..LANES).collect::<Vec<_>>());
            assert_eq!(threads[LANES].0, None);
            for (first, end, thread) in threads {
                end.send(()).unwrap();
                let second = thread.join().unwrap();
                match first {
                    Some(_) => assert_eq!(second, first, "a lane is kept for life"),
                    None => assert!(second.is_some(), "those that ended left theirs"),
                }
            }
        });
    }
}
