//! A waiter: one thread's part in a shared queue.
//!
//! It is a [`Part`] in a group of waiters. If waiters are pinned it is alone in its own, and may have parts in groups
//! whose waiters are gone, which its own watches.

use super::part::Part;
use super::pins::Pin;
use super::{SharedQueue, WaiterCounters};
use crate::error::{RegisterError, WaitError};
use crate::event::Event;
use crate::key::{Key, Token};
use crate::mode::Mode;
use crate::operation::{Operation, StartError};
use crate::post::Waker;
use crate::source::{Removed, Source};
use crate::wait::Wait;
use std::os::fd::OwnedFd;

/// One thread's part in a [`SharedQueue`](crate::SharedQueue): it waits, takes events, and hands them on.
///
/// Made by [`SharedQueue::waiter`](crate::SharedQueue::waiter). A thread has one, as a rule; it may be sent, and
/// threads may come and go.
///
/// An event that was taken is *held* until the next call of [`Waiter::next_event`] or [`Waiter::wait`], or until the
/// waiter is dropped. While it is held no other waiter gets an event of the same registration: what one thread does
/// with a connection no other disturbs. Posts are the exception: each is for whoever is free.
///
/// Dropping it, also by a panic, gives back what it had claimed and not taken. Of a descriptor whose event it held,
/// the state is looked at anew: if it is still ready, somebody is told. An event that was taken is the program's; one
/// that it cannot handle it hands on with [`Waiter::release`].
///
/// ```
/// use std::thread;
/// use ukevent_queue::{Kind, Mode, SharedQueue, Token, User, Wait};
///
/// let queue = SharedQueue::new()?;
/// let jobs = queue.register(User::each(64), Token(1), Mode::Level)?;
/// let stop = queue.register_for_all(User::merged(Default::default()), Token(2), Mode::Level)?;
/// let threads: Vec<_> = (0..2)
///     .map(|_| {
///         let mut waiter = queue.waiter()?;
///         Ok(thread::spawn(move || {
///             loop {
///                 waiter.wait(Wait::forever()).expect("nobody interrupts it");
///                 while let Some(event) = waiter.next_event() {
///                     match event.token {
///                         Token(1) => println!("a job: {:?}", event.kind),
///                         _ => return,
///                     }
///                 }
///             }
///         }))
///     })
///     .collect::<Result<_, ukevent_queue::WaitError>>()?;
/// let poster = queue.poster(jobs)?;
/// (0..10).try_for_each(|job| poster.post(job))?;
/// queue.poster(stop)?.post(1)?;
/// for thread in threads {
///     thread.join().expect("it does not panic");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Waiter {
    part: Part,
    /// If waiters are pinned.
    pin: Option<Box<Pin>>,
}

impl Waiter {
    pub(super) const fn new(part: Part, pin: Option<Box<Pin>>) -> Self {
        Self { part, pin }
    }

    /// Waits as `wait` says, and returns how many events can be taken with [`Waiter::next_event`]; 0 if the time is
    /// over first, or a [`Waker`](crate::Waker) was used. The first of them (as many as the wait needs at least) are
    /// this waiter's; the rest it shares with the others, who may be faster.
    ///
    /// Lets go of the event that was taken last. If there is an event in the ring it makes no system call. Otherwise
    /// it blocks, unless the wait says otherwise: one system call. A pinned waiter that has taken over what others left
    /// looks at each of their sets, too.
    ///
    /// # Errors
    /// As [`Queue::wait`](crate::Queue::wait). Nothing is lost by an error.
    pub fn wait(&mut self, wait: Wait<'_>) -> Result<usize, WaitError> {
        match &mut self.pin {
            None => self.part.wait(None, wait),
            Some(pin) => pin.wait(&mut self.part, None, wait),
        }
    }

    /// The same, but returns at once if anything was put into the ring after the position `seen`
    /// ([`SharedQueue::position`]), as futex(2) does if its word has changed: also if others have taken it since. So
    /// nothing comes between looking and sleeping.
    ///
    /// # Errors
    /// As [`Waiter::wait`].
    pub fn wait_after(&mut self, seen: u64, wait: Wait<'_>) -> Result<usize, WaitError> {
        match &mut self.pin {
            None => self.part.wait(Some(seen), wait),
            Some(pin) => pin.wait(&mut self.part, Some(seen), wait),
        }
    }

    /// Takes the next event that the last wait let out; `None` when all were taken, by this waiter or by others.
    /// Lets go of the one before.
    ///
    /// An event of a registration that was removed or disabled meanwhile, by whichever thread, does not come. No
    /// system call for what is watched for edges, and for what is no descriptor. For other descriptors one to watch
    /// it again when it is let go of, and one to look again at a state that an earlier wait found.
    #[inline]
    pub fn next_event(&mut self) -> Option<Event> {
        match &mut self.pin {
            None => self.part.next_event(),
            Some(pin) => pin.next_event(&mut self.part),
        }
    }

    /// Hands the event that was taken last on to another waiter: this one cannot handle it. It comes back only if
    /// there is no other, or if waiters are pinned. Of an event that every waiter gets, only this copy ends.
    ///
    /// # Errors
    /// Gives the event back, if it is not the one that was taken last, or its registration was removed or disabled
    /// meanwhile, so that nobody may have it any more. A post of a source that was disabled is kept.
    pub fn release(&mut self, event: Event) -> Result<(), Event> {
        match &mut self.pin {
            None => self.part.release(event),
            Some(pin) => pin.release(&mut self.part, event),
        }
    }

    /// The owner of the one-shot descriptor whose event was taken last; kept until the next event or wait, then
    /// dropped.
    pub fn take_spent(&mut self) -> Option<Removed> {
        match &mut self.pin {
            None => self.part.take_spent(),
            Some(pin) => pin.take_spent(&mut self.part),
        }
    }

    /// Registers a source, as [`SharedQueue::register`]; if waiters are pinned, for this one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ukevent_queue::{Mode, Policy, SharedBuilder, Timer, Token, Wait};
    ///
    /// let queue = SharedBuilder::new().policy(Policy::Pinned).build()?;
    /// let (mut mine, mut other) = (queue.waiter()?, queue.waiter()?);
    /// mine.register(Timer::after(Duration::from_millis(1)), Token(1), Mode::OneShot)?;
    /// assert_eq!(mine.wait(Wait::forever())?, 1);
    /// assert_eq!(mine.next_event().map(|event| event.token), Some(Token(1)));
    /// assert_eq!(other.wait(Wait::now())?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(
        &self,
        source: impl Into<Source>,
        token: Token,
        mode: Mode,
    ) -> Result<Key, RegisterError> {
        match &self.pin {
            None => self.part.group().register(source.into(), token, mode, false),
            Some(pin) => pin.register(source.into(), token, mode),
        }
    }

    /// Starts an operation, as [`SharedQueue::start`]. If waiters are pinned and it is on no registration, its end is
    /// this one's.
    ///
    /// # Errors
    /// [`StartError`], which gives the operation back.
    pub fn start(&self, operation: Operation, token: Token) -> Result<Key, StartError> {
        match &self.pin {
            None => self.part.group().start(operation, token),
            Some(pin) => pin.start(operation, token),
        }
    }

    /// What ends a wait without an event, from any thread: as [`SharedQueue::waker`]; if waiters are pinned, a wait of
    /// this one.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.part.group().waker.clone()
    }

    /// A descriptor that is readable whenever [`Waiter::wait`] would return an event: to be watched by a
    /// [`Queue`](crate::Queue) of the thread's own, by epoll, or by a runtime. It may become readable without an
    /// event, never the other way round: use [`Wait::now`] then, until it returns 0.
    ///
    /// Of what is for one of several waiters all are told whose descriptors are watched, and one gets the event. From
    /// the first call on, until the waiter is dropped, changes and posts make the system calls that they make while
    /// somebody sleeps.
    ///
    /// # Errors
    /// [`RegisterError::WrongThread`] in a child made by fork(2); [`RegisterError::Kernel`] when no descriptor is
    /// left.
    pub fn descriptor(&mut self) -> Result<OwnedFd, RegisterError> {
        self.part.group().check_process()?;
        Ok(self.part.nest()?.expect("a waiter has a part in its group"))
    }

    /// What it did so far. Pinned, with all that it took of what others left; looking at that counts as waits.
    #[must_use]
    pub fn counters(&self) -> WaiterCounters {
        match &self.pin {
            None => self.part.counters(),
            Some(pin) => pin.counters(&self.part),
        }
    }

    /// The queue it waits on.
    #[must_use]
    pub fn queue(&self) -> SharedQueue {
        match &self.pin {
            None => SharedQueue { first: self.part.group().clone(), pins: None },
            Some(pin) => pin.queue(),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(pin) = &mut self.pin
            && self.part.group().check_process().is_ok()
        {
            pin.leave();
        }
    }
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let holds = match &self.pin {
            None => self.part.held(),
            Some(pin) => pin.held(&self.part),
        };
        f.debug_struct("Waiter")
            .field("id", &self.part.id())
            .field("holds", &holds)
            .finish_non_exhaustive()
    }
}
