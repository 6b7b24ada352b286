//! The connections, each in its seat, while they are served.

use super::Site;
use crate::{bell::Bell, connection, shared::Shared};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
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
    /// Rung when somebody leaves.
    pub(super) left: Bell,
}

#[derive(Debug, Default)]
struct Seat {
    task: Option<JoinHandle<()>>,
    /// Something was asked that is not answered yet.
    is_busy: bool,
}

/// A seat that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    seats: Rc<Seats>,
    index: usize,
    refused: bool,
}

impl Seats {
    pub(super) fn new(shared: Rc<Shared<Site>>) -> Self {
        Self {
            shared,
            all: RefCell::default(),
            free: RefCell::default(),
            served: Cell::new(0),
            refused: Cell::new(0),
            left: Bell::default(),
        }
    }

    /// Takes a seat, or one of those who are one too many and only told so.
    pub(super) fn take(self: &Rc<Self>, refused: bool) -> Taken {
        let count = if refused { &self.refused } else { &self.served };
        count.set(count.get() + 1);
        self.shared.set_open(self.served.get());
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut all = self.all.borrow_mut();
            all.push(Seat::default());
            all.len() - 1
        });
        // Who is turned away is to hear it.
        self.all.borrow_mut()[index].is_busy = refused;
        Taken { seats: Rc::clone(self), index, refused }
    }

    /// Says which task sits in a seat.
    pub(super) fn seat(&self, index: usize, task: JoinHandle<()>) {
        let before = self.all.borrow_mut()[index].task.replace(task);
        drop(before);
    }

    /// How many there are, but for those that are one too many.
    pub(super) const fn served(&self) -> usize {
        self.served.get()
    }

    /// How many are on their way out because they were one too many.
    pub(super) const fn refused(&self) -> usize {
        self.refused.get()
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
}

impl connection::Seat for Taken {
    fn is_busy(&self, busy: bool) {
        self.seats.all.borrow_mut()[self.index].is_busy = busy;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let seats = &self.seats;
        let count = if self.refused { &seats.refused } else { &seats.served };
        count.set(count.get() - 1);
        seats.shared.set_open(seats.served.get());
        let seat = std::mem::take(&mut seats.all.borrow_mut()[self.index]);
        seats.free.borrow_mut().push(self.index);
        drop(seat);
        seats.left.ring();
    }
}
