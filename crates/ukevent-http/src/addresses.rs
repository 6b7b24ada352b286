//! How much one address may have: connections that are open, and new ones and requests per second.
//!
//! A table of fixed size, looked at in a fixed number of steps, whatever comes. An IPv6 address stands for
//! its /64, which is what one customer is given (RFC 6177); an IPv4 address that came mapped into IPv6
//! (RFC 4291, 2.5.5.2) for itself.
//!
//! Rates are buckets of tokens, kept as the one number of the generic cell rate algorithm (ITU-T I.371):
//! the time at which the bucket is full again. Nothing is refilled, and nothing expires by a timer.
//!
//! The table is an array of sets of [`WAYS`] places. An address may stand in any place of its set, which is
//! chosen by a hash with a secret key. Where a set is full, the address that is nearest to having all its
//! tokens back gives way, unless it has a connection open: what is forgotten that way is worth the least.
//! Where all have one open, the new one is not counted at all. Who has that many addresses is not stopped
//! by limits per address; the limit of all connections is for him.

pub(crate) mod shards;

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

/// Places of a set.
const WAYS: usize = 8;

/// Seconds are counted in these.
const NS_PER_S: u64 = 1_000_000_000;

/// So many at once, and so many per second in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) per_s: u32,
}

/// What one address may have. `None` is any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PerAddress {
    /// Connections open at a time.
    pub(crate) open: Option<u32>,
    /// New connections.
    pub(crate) connections: Option<Rate>,
    pub(crate) requests: Option<Rate>,
}

/// Why an address has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has as many connections open as it may.
    TooMany,
    /// It asks too often. Again after so many nanoseconds at the earliest.
    TooOften { wait_ns: u64 },
}

/// A connection that is counted, until it is handed back to [`Addresses::close`].
#[derive(Debug)]
#[must_use = "a connection that is not closed counts for ever"]
pub(crate) struct Counted(Option<usize>);

/// The table.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: PerAddress,
    places: Box<[Place]>,
    secret: RandomState,
}

/// An address: the first 64 bits of IPv6, or those of IPv4 behind a one that no /64 in use begins with.
type Name = u64;

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    name: Name,
    is_taken: bool,
    open: u32,
    connections: Bucket,
    requests: Bucket,
}

/// When it is full again, in nanoseconds of the caller's clock.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket(u64);

impl Bucket {
    /// Takes a token.
    fn take(&mut self, rate: Rate, now_ns: u64) -> Result<(), Refused> {
        // No rate at all is one token in a lifetime.
        let each_ns = NS_PER_S.checked_div(u64::from(rate.per_s)).unwrap_or(u64::MAX >> 1);
        let full_ns = self.0.max(now_ns).saturating_add(each_ns);
        let room_ns = each_ns.saturating_mul(u64::from(rate.burst));
        match full_ns.saturating_sub(now_ns).checked_sub(room_ns) {
            None | Some(0) => {
                self.0 = full_ns;
                Ok(())
            }
            Some(wait_ns) => Err(Refused::TooOften { wait_ns }),
        }
    }
}

impl Addresses {
    /// A table for at least so many addresses at a time. Allocates all that it will ever need: 40 bytes
    /// for each place.
    pub(crate) fn new(limits: PerAddress, capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1).next_power_of_two();
        let places = vec![Place::default(); sets * WAYS].into_boxed_slice();
        Self { limits, places, secret: RandomState::new() }
    }

    /// A connection comes from an address.
    pub(crate) fn open(&mut self, from: IpAddr, now_ns: u64) -> Result<Counted, Refused> {
        let PerAddress { open, connections, .. } = self.limits;
        let Some(index) = self.place(from, now_ns) else { return Ok(Counted(None)) };
        let place = &mut self.places[index];
        if open.is_some_and(|most| place.open >= most) {
            return Err(Refused::TooMany);
        }
        if let Some(rate) = connections {
            place.connections.take(rate, now_ns)?;
        }
        place.open += 1;
        Ok(Counted(Some(index)))
    }

    /// A request comes over a connection.
    pub(crate) fn request(&mut self, over: &Counted, now_ns: u64) -> Result<(), Refused> {
        match (over.0, self.limits.requests) {
            (Some(index), Some(rate)) => self.places[index].requests.take(rate, now_ns),
            _ => Ok(()),
        }
    }

    /// The connection is gone.
    pub(crate) fn close(&mut self, connection: Counted) {
        if let Some(index) = connection.0 {
            // An address with a connection open keeps its place, so this is still its own.
            self.places[index].open = self.places[index].open.saturating_sub(1);
        }
    }

    /// The place of an address, another's if need be; `None` if none can be had.
    fn place(&mut self, of: IpAddr, now_ns: u64) -> Option<usize> {
        let name = name(of);
        let sets = self.places.len() / WAYS;
        let first = (self.secret.hash_one(name) as usize & (sets - 1)) * WAYS;
        let mut worst: Option<(u64, usize)> = None;
        for index in first..first + WAYS {
            let place = &self.places[index];
            if place.is_taken && place.name == name {
                return Some(index);
            }
            // What a free place has to forget is nothing.
            let due_ns = place.connections.0.max(place.requests.0).saturating_sub(now_ns);
            let loss = if place.is_taken { due_ns.saturating_add(1) } else { 0 };
            if place.open == 0 && worst.is_none_or(|(least, _)| loss < least) {
                worst = Some((loss, index));
            }
        }
        let (_, index) = worst?;
        self.places[index] = Place { name, is_taken: true, ..Place::default() };
        Some(index)
    }
}

/// Whom an address stands for.
fn name(of: IpAddr) -> Name {
    match of.to_canonical() {
        // fe00::/9 was never given out but for link-local and site-local addresses, and these do not
        // begin with 64 bits of which the middle is all ones.
        IpAddr::V4(address) => 0xfeff_ffff_0000_0000 | u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests;
