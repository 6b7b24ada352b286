//! ukevent, through its public interface, on one backend or another.

use crate::tables::events::Tells;
use crate::tables::ready::{Descriptor, Readiness, Seen, Trigger};
use crate::tables::timers::Timers;
use crate::tables::wake::{Patience, Poster, Posts, Taken, Target};
use std::marker::PhantomData;
use std::time::Duration;
use ukevent_measure::Result;
use ukevent_queue::{
    BackendKind, Builder, Clock, Fd, Key, Kind, Merge, Mode, Queue, Timer, Token, User, Wait,
    WaitError,
};

/// More than enough to let go of 10,000 descriptors, twenty at a time.
const MAX_WAITS: usize = 2_000;

/// The name of a backend, as a type.
pub trait Backend {
    /// Which one.
    const KIND: BackendKind;
}

/// `io_uring`.
#[derive(Debug)]
pub struct IoUring;

impl Backend for IoUring {
    const KIND: BackendKind = BackendKind::IoUring;
}

/// epoll.
#[derive(Debug)]
pub struct Epoll;

impl Backend for Epoll {
    const KIND: BackendKind = BackendKind::Epoll;
}

/// poll(2).
#[derive(Debug)]
pub struct Poll;

impl Backend for Poll {
    const KIND: BackendKind = BackendKind::Poll;
}

/// A queue, and the keys of what is registered, by token.
#[derive(Debug)]
pub struct Ukevent<B> {
    queue: Queue,
    mode: Mode,
    keys: Vec<Key>,
    posts: Posts,
    backend: PhantomData<B>,
}

impl<B: Backend> Ukevent<B> {
    fn with(mode: Mode) -> Result<Self> {
        let queue = Builder::new().backend(B::KIND).build()?;
        Ok(Self { queue, mode, keys: Vec::new(), posts: Posts::Each, backend: PhantomData })
    }
}

impl<B: Backend> Readiness for Ukevent<B> {
    fn new(trigger: Trigger) -> Result<Self> {
        Self::with(match trigger {
            Trigger::Edge => Mode::Edge,
            Trigger::Level => Mode::Level,
        })
    }

    fn arm(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        self.keys.reserve(descriptors.len());
        for (place, descriptor) in descriptors.iter().enumerate() {
            let source = Fd::new(descriptor.clone());
            self.keys.push(self.queue.register(source, Token::from(place), self.mode)?);
        }
        self.queue.wait(Wait::now())?;
        Ok(())
    }

    fn reap(&mut self, seen: &mut Seen) -> Result<()> {
        self.reap_by(Wait::now(), seen)
    }

    fn remove(&mut self, _descriptors: &[Descriptor]) -> Result<()> {
        for key in self.keys.drain(..) {
            self.queue.remove(key)?;
        }
        // Until a ring has nothing left to do. On epoll every wait is a system call.
        for _ in 0..MAX_WAITS {
            let before = self.queue.counters().system_calls;
            self.queue.wait(Wait::now())?;
            if B::KIND != BackendKind::IoUring || self.queue.counters().system_calls == before {
                break;
            }
        }
        Ok(())
    }
}

impl<B: Backend> Tells for Ukevent<B> {
    fn reap_within(&mut self, patience: Duration, seen: &mut Seen) -> Result<()> {
        self.reap_by(Wait::within(patience), seen)
    }
}

impl<B: Backend> Ukevent<B> {
    fn reap_by(&mut self, wait: Wait<'_>, seen: &mut Seen) -> Result<()> {
        match self.queue.wait(wait) {
            // The kernel may interrupt a thread that has just closed an io_uring instance.
            Ok(_) | Err(WaitError::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(event) = self.queue.next_event() {
            if let Kind::Ready(ready) = event.kind {
                seen.note(event.token.0, ready.is_readable());
            }
        }
        Ok(())
    }
}

impl<B: Backend> Ukevent<B> {
    fn take_fired(&mut self, wait: Wait<'_>, fired: &mut Vec<u32>) -> Result<()> {
        match self.queue.wait(wait) {
            // The kernel may interrupt a thread that has just closed an io_uring instance.
            Ok(_) | Err(WaitError::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(event) = self.queue.next_event() {
            if let Kind::Timer(_) = event.kind {
                fired.push(event.token.0 as u32);
            }
        }
        Ok(())
    }
}

impl<B: Backend> Timers for Ukevent<B> {
    type Id = Key;

    fn new(_live: usize) -> Result<Self> {
        Self::with(Mode::OneShot)
    }

    #[inline]
    fn add(&mut self, token: u32, deadline_ns: u64) -> Result<Key> {
        let timer = Timer::at(Clock::Monotonic, Duration::from_nanos(deadline_ns));
        Ok(self.queue.register(timer, Token(u64::from(token)), self.mode)?)
    }

    #[inline]
    fn cancel(&mut self, key: Key) -> Result<bool> {
        Ok(self.queue.remove(key).is_ok())
    }

    fn fire(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        self.take_fired(Wait::now(), fired)
    }

    fn wait(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        self.take_fired(Wait::forever(), fired)
    }
}

/// Posts that it holds at a time, if each is an event.
pub const CAPACITY: u32 = 1024;

impl<B: Backend> Target for Ukevent<B> {
    type Address = ukevent_queue::Poster;
    type Poster = ukevent_queue::Poster;

    fn new(posts: Posts) -> Result<Self> {
        let mut new = Self { posts, ..Self::with(Mode::Level)? };
        let source = match posts {
            Posts::Merged => User::merged(Merge::Last),
            Posts::Each => User::each(CAPACITY),
        };
        new.keys.push(new.queue.register(source, Token(0), new.mode)?);
        Ok(new)
    }

    fn address(&self) -> Result<Self::Address> {
        Ok(self.queue.poster(self.keys[0])?)
    }

    fn poster(address: Self::Address) -> Result<Self::Poster> {
        Ok(address)
    }

    fn take(&mut self, patience: Patience, taken: &mut Taken) -> Result<()> {
        self.queue.wait(match patience {
            Patience::None => Wait::now(),
            Patience::Endless => Wait::forever(),
        })?;
        while let Some(event) = self.queue.next_event() {
            if let Kind::User(posted) = event.kind {
                match self.posts {
                    Posts::Merged => taken.merged(posted.count),
                    Posts::Each => taken.one(posted.data),
                }
            }
        }
        Ok(())
    }
}

impl Poster for ukevent_queue::Poster {
    #[inline]
    fn post(&mut self, serial: u64) -> Result<()> {
        Ok(Self::post(self, serial)?)
    }
}
