//! The connections of a thread, each in its seat, while they are served.
//!
//! Of several threads each has its own seats. How many connections are served is then counted for all of them
//! together, and so is what an address has; those that are turned away are divided: each thread may have some. If the
//! threads have one queue for those who come ([`Lobby`]), those that are turned away are counted together, too.

use super::{Site, threads::lobby::Lobby};
use crate::{
    addresses::{Addresses, Counted, Refused, shards::Shards},
    bell::Bell,
    connection::{self, Resting},
    limits::REFUSED_CONNECTIONS,
    shared::{Shared, now_ns},
};
use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
};
use ukevent_task::JoinHandle;

/// All seats.
#[derive(Debug)]
pub(super) struct Seats {
    shared: Rc<Shared<Site>>,
    all: RefCell<Vec<Seat>>,
    free: RefCell<Vec<usize>>,
    served: Cell<usize>,
    refused: Cell<usize>,
    addresses: Option<Table>,
    /// If all threads have one queue for those who come.
    lobby: Option<Arc<Lobby>>,
    /// Rung when somebody leaves.
    pub(super) left: Bell,
}

#[derive(Debug, Default)]
struct Seat {
    task: Option<JoinHandle<()>>,
    /// Something was asked that is not answered yet.
    is_busy: bool,
}

/// Who counts addresses.
#[derive(Debug)]
enum Table {
    /// A thread that is alone.
    Own(RefCell<Addresses>),
    /// All threads together.
    OfAll(Arc<Shards>),
}

impl Table {
    fn open(&self, from: IpAddr, now_ns: u64) -> Result<Counted, Refused> {
        match self {
            Self::Own(own) => own.borrow_mut().open(from, now_ns),
            Self::OfAll(all) => all.open(from, now_ns),
        }
    }

    fn request(&self, over: &Counted, now_ns: u64) -> Result<(), Refused> {
        match self {
            Self::Own(own) => own.borrow_mut().request(over, now_ns),
            Self::OfAll(all) => all.request(over, now_ns),
        }
    }

    fn close(&self, connection: Counted) {
        match self {
            Self::Own(own) => own.borrow_mut().close(connection),
            Self::OfAll(all) => all.close(connection),
        }
    }
}

/// What a connection takes of what its address may have, if that is counted.
type Share = Option<Box<Counted>>;

/// A seat that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    /// Its address's share.
    share: Option<Box<Counted>>,
    seats: Rc<Seats>,
    index: usize,
    refused: bool,
    /// What it takes of the limits goes with the connection.
    moves_on: bool,
}

impl Seats {
    pub(super) fn new(shared: Rc<Shared<Site>>, lobby: Option<Arc<Lobby>>) -> Self {
        let whole = shared.whole();
        let addresses = if whole.is_alone() {
            shared.limits.addresses().map(|own| Table::Own(RefCell::new(own)))
        } else {
            whole.addresses.as_ref().map(|all| Table::OfAll(Arc::clone(all)))
        };
        Self {
            shared,
            addresses,
            lobby,
            all: RefCell::default(),
            free: RefCell::default(),
            served: Cell::new(0),
            refused: Cell::new(0),
            left: Bell::default(),
        }
    }

    pub(super) fn lobby(&self) -> Option<&Lobby> {
        self.lobby.as_deref()
    }

    /// Whether an address may have another connection, which then counts; nothing, if nothing is asked.
    pub(super) fn admit(&self, peer: impl FnOnce() -> Option<IpAddr>) -> Result<Share, Refused> {
        let Some((addresses, peer)) = self.addresses.as_ref().zip(peer()) else { return Ok(None) };
        let counted = addresses.open(peer, now_ns())?;
        Ok(Some(Box::new(counted)))
    }

    /// Whether there is room for another connection, for which then a seat is to be taken.
    pub(super) fn enter(&self) -> bool {
        let whole = self.shared.whole();
        if whole.is_alone() {
            self.served.get() < self.shared.limits.connections
        } else {
            whole.enter()
        }
    }

    /// Whether as many connections are served as may be.
    pub(super) fn is_full(&self) -> bool {
        let whole = self.shared.whole();
        if whole.is_alone() {
            self.served.get() >= self.shared.limits.connections
        } else {
            whole.is_full()
        }
    }

    /// Whether so many are being turned away that no more can be.
    pub(super) fn refuses_no_more(&self) -> bool {
        let whole = self.shared.whole();
        if self.lobby.is_some() {
            // Whoever comes may come to any of them.
            return whole.refused() >= REFUSED_CONNECTIONS;
        }
        self.refused.get() >= (REFUSED_CONNECTIONS / whole.threads()).max(1)
    }

    /// Takes a seat after [`Seats::enter`], or one of those who are one too many and only told so.
    pub(super) fn take(self: &Rc<Self>, share: Share, refused: bool) -> Taken {
        let count = if refused { &self.refused } else { &self.served };
        count.set(count.get() + 1);
        if refused {
            self.shared.whole().refuse();
        }
        self.shared.set_open(self.served.get());
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut all = self.all.borrow_mut();
            all.push(Seat::default());
            all.len() - 1
        });
        // Who is turned away is to hear it.
        self.all.borrow_mut()[index].is_busy = refused;
        Taken { share, seats: Rc::clone(self), index, refused, moves_on: false }
    }

    /// Says which task sits in a seat.
    pub(super) fn seat(&self, index: usize, task: JoinHandle<()>) {
        let before = self.all.borrow_mut()[index].task.replace(task);
        drop(before);
    }

    /// How many are on their way out because they were one too many.
    #[cfg(test)]
    pub(super) const fn refused(&self) -> usize {
        self.refused.get()
    }

    /// How many there are, but for those that are one too many.
    #[cfg(test)]
    pub(super) const fn served(&self) -> usize {
        self.served.get()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.served.get() + self.refused.get() == 0
    }

    /// Ends those who rest, or everybody.
    pub(super) fn clear(&self, everybody: bool) {
        let count = self.all.borrow().len();
        for index in 0..count {
            let seat = std::mem::take(&mut self.all.borrow_mut()[index].task);
            let Some(task) = seat else { continue };
            if everybody || !self.all.borrow()[index].is_busy {
                task.cancel();
            } else {
                self.all.borrow_mut()[index].task = Some(task);
            }
        }
    }
}

impl Taken {
    pub(super) const fn index(&self) -> usize {
        self.index
    }

    /// Whether who sits there is one too many.
    pub(super) const fn is_refused(&self) -> bool {
        self.refused
    }
}

impl connection::Seat for Taken {
    fn is_busy(&self, busy: bool) {
        self.seats.all.borrow_mut()[self.index].is_busy = busy;
    }

    fn may_ask(&self) -> bool {
        let Some((addresses, share)) = self.seats.addresses.as_ref().zip(self.share.as_ref())
        else {
            return true;
        };
        addresses.request(share, now_ns()).is_ok()
    }

    fn may_leave(&self) -> bool {
        self.seats.lobby.is_some() && !self.seats.shared.is_ending()
    }

    fn leave(mut self, resting: Resting) {
        if let Some(lobby) = self.seats.lobby.clone() {
            self.seats.shared.tally().parkings.add(1);
            self.moves_on = true;
            lobby.park(resting, self.share.take());
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let seats = &self.seats;
        if let Some((addresses, share)) = seats.addresses.as_ref().zip(self.share.take()) {
            addresses.close(*share);
        }
        let whole = seats.shared.whole();
        if self.refused {
            whole.was_refused();
        } else if !whole.is_alone() && !self.moves_on {
            whole.left();
        }
        let count = if self.refused { &seats.refused } else { &seats.served };
        count.set(count.get() - 1);
        seats.shared.set_open(seats.served.get());
        let seat = std::mem::take(&mut seats.all.borrow_mut()[self.index]);
        seats.free.borrow_mut().push(self.index);
        drop(seat);
        seats.left.ring();
        if !self.moves_on {
            seats.lobby().into_iter().for_each(Lobby::open_doors);
        }
    }
}
