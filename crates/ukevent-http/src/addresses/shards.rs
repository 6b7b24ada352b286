//! The same table for several threads: in parts, each behind a lock, which are chosen by the address.
//!
//! A lock is held for the few steps of one look into the table, and is touched when a connection comes or goes;
//! for each request only if the rate of requests has a limit. Two threads meet in a part by chance, or because one
//! address keeps both busy.

use super::{Addresses, Counted, PerAddress, Refused, name};
use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Parts of the table.
const SHARDS: usize = 64;

/// The table.
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Box<[Mutex<Addresses>]>,
    /// Another one than those of the parts: else each would use some of its sets only.
    secret: RandomState,
    requests_have_limit: bool,
}

impl Shards {
    /// A table for at least so many addresses at a time. Allocates all that it will ever need.
    pub(crate) fn new(limits: PerAddress, capacity: usize) -> Self {
        let shard = || Mutex::new(Addresses::new(limits, capacity.div_ceil(SHARDS)));
        Self {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            secret: RandomState::new(),
            requests_have_limit: limits.requests.is_some(),
        }
    }

    /// See [`Addresses::open`].
    pub(crate) fn open(&self, from: IpAddr, now_ns: u64) -> Result<Counted, Refused> {
        let shard = self.secret.hash_one(name(from)) as usize % SHARDS;
        let Counted(index) = self.shard(shard).open(from, now_ns)?;
        // The number of the part is in it.
        Ok(Counted(index.map(|index| index * SHARDS + shard)))
    }

    /// See [`Addresses::request`].
    pub(crate) fn request(&self, over: &Counted, now_ns: u64) -> Result<(), Refused> {
        match over.0 {
            Some(index) if self.requests_have_limit => {
                self.shard(index % SHARDS).request(&Counted(Some(index / SHARDS)), now_ns)
            }
            _ => Ok(()),
        }
    }

    /// See [`Addresses::close`].
    pub(crate) fn close(&self, connection: Counted) {
        if let Some(index) = connection.0 {
            self.shard(index % SHARDS).close(Counted(Some(index / SHARDS)));
        }
    }

    fn shard(&self, number: usize) -> MutexGuard<'_, Addresses> {
        // Nothing panics under it.
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
