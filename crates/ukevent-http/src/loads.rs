//! Waiting for what others load.

use crate::entity::Found;
use std::{
    cell::RefCell,
    collections::HashMap,
    future::poll_fn,
    rc::{Rc, Weak},
    task::{Poll, Waker},
};

/// Who waits for which load.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    waiting: RefCell<HashMap<u64, Vec<Weak<RefCell<Load>>>>>,
}

#[derive(Debug, Default)]
struct Load {
    found: Option<Found>,
    waker: Option<Waker>,
}

impl Loads {
    /// Waits for the load of this number, from now on: to be called before it can have ended.
    pub(crate) fn wait(&self, number: u64) -> impl Future<Output = Found> + use<> {
        let load = Rc::new(RefCell::new(Load::default()));
        self.waiting.borrow_mut().entry(number).or_default().push(Rc::downgrade(&load));
        poll_fn(move |cx| {
            let mut load = load.borrow_mut();
            match load.found.take() {
                Some(found) => Poll::Ready(found),
                None => {
                    load.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.borrow().values().flatten().filter(|load| load.strong_count() > 0).count()
    }

    /// Of how many loads the end is awaited, be it by somebody who is gone.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Gives what was found to all who wait for it.
    pub(crate) fn done(&self, number: u64, found: &Found) {
        let waiting = self.waiting.borrow_mut().remove(&number).unwrap_or_default();
        for load in waiting.iter().filter_map(Weak::upgrade) {
            let waker = {
                let mut load = load.borrow_mut();
                load.found = Some(found.clone());
                load.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}
