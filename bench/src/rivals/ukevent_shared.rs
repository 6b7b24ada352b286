//! ukevent's shared queue, through its public interface: several waiters on descriptors, by edge; and one that is
//! posted to.

use crate::tables::shared::{Ends, Server, Shares, Waits};
use std::marker::PhantomData;
use ukevent_bench::contenders::ukevent::CAPACITY;
use ukevent_bench::tables::wake::{Patience, Posts, Taken, Target};
use ukevent_measure::Result;
use ukevent_queue::{
    Fd, Key, Kind, Merge, Mode, Policy, Poster, SharedBuilder, Token, User, Wait, WaitError, Waiter,
};

/// The token of what tells a waiter to stop. Descriptors have their place.
const STOP: Token = Token(u64::MAX);

/// The name of a policy, as a type.
pub(crate) trait Names: 'static {
    const POLICY: Policy;
}

/// Whoever is free.
pub(crate) struct Balanced;

impl Names for Balanced {
    const POLICY: Policy = Policy::Balanced;
}

/// Whoever is free, and had it last if possible.
pub(crate) struct Nearest;

impl Names for Nearest {
    const POLICY: Policy = Policy::Nearest;
}

/// A shared queue in which each waiter has its own share of the descriptors.
pub(crate) struct Pinned;

impl Shares for Pinned {
    type Waiter = Waiter;

    fn waiters(ends: &Ends, count: usize) -> Result<Vec<Waiter>> {
        let queue = SharedBuilder::new().policy(Policy::Pinned).build()?;
        let waiters = (0..count).map(|_| Ok(queue.waiter()?)).collect::<Result<Vec<_>>>()?;
        for (place, reader) in ends.readers.iter().enumerate() {
            queue.register(Fd::new(reader.clone()), Token::from(place), Mode::Edge)?;
        }
        for waiter in &waiters {
            waiter.register(Fd::new(ends.stop.clone()), STOP, Mode::Level)?;
        }
        Ok(waiters)
    }
}

/// A shared queue.
pub(crate) struct Ukevent<P>(PhantomData<P>);

impl<P: Names> Shares for Ukevent<P> {
    type Waiter = Waiter;

    fn waiters(ends: &Ends, count: usize) -> Result<Vec<Waiter>> {
        let queue = SharedBuilder::new().policy(P::POLICY).build()?;
        for (place, reader) in ends.readers.iter().enumerate() {
            queue.register(Fd::new(reader.clone()), Token::from(place), Mode::Edge)?;
        }
        queue.register_for_all(Fd::new(ends.stop.clone()), STOP, Mode::Level)?;
        (0..count).map(|_| Ok(queue.waiter()?)).collect()
    }
}

impl Waits for Waiter {
    fn wait(&mut self, server: &mut Server) -> Result<bool> {
        match Self::wait(self, Wait::forever()) {
            // The kernel may interrupt a thread that has just closed an io_uring instance.
            Ok(_) | Err(WaitError::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(event) = self.next_event() {
            match event.token {
                STOP => return Ok(false),
                Token(place) => server.answer(place as usize)?,
            }
        }
        Ok(true)
    }

    fn returns(&self) -> u64 {
        self.counters().waits
    }
}

/// One waiter, which is posted to.
pub(crate) struct SharedTarget {
    waiter: Waiter,
    key: Key,
    posts: Posts,
}

impl Target for SharedTarget {
    type Address = Poster;
    type Poster = Poster;

    fn new(posts: Posts) -> Result<Self> {
        let queue = SharedBuilder::new().build()?;
        let source = match posts {
            Posts::Merged => User::merged(Merge::Last),
            Posts::Each => User::each(CAPACITY),
        };
        let key = queue.register(source, Token(0), Mode::Level)?;
        Ok(Self { waiter: queue.waiter()?, key, posts })
    }

    fn address(&self) -> Result<Poster> {
        Ok(self.waiter.queue().poster(self.key)?)
    }

    fn poster(address: Poster) -> Result<Poster> {
        Ok(address)
    }

    fn take(&mut self, patience: Patience, taken: &mut Taken) -> Result<()> {
        self.waiter.wait(match patience {
            Patience::None => Wait::now(),
            Patience::Endless => Wait::forever(),
        })?;
        while let Some(event) = self.waiter.next_event() {
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
