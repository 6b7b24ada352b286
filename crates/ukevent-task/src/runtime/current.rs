//! The runtime that runs in this thread.

use super::Core;
use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// Makes a runtime the current one until it is dropped.
pub(crate) struct Entered(Option<Rc<Core>>);

impl Entered {
    pub(crate) fn new(core: &Rc<Core>) -> Self {
        // While the thread ends there is none any more: then nothing is the current one.
        Self(CURRENT.try_with(|current| current.replace(Some(Rc::clone(core)))).ok().flatten())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.0.take();
        let ours = CURRENT.try_with(|current| current.replace(before));
        drop(ours);
    }
}

/// What this makes of the current runtime, if there is one.
#[inline]
pub(crate) fn with<T>(what: impl FnOnce(&Rc<Core>) -> T) -> Option<T> {
    CURRENT.try_with(|current| current.borrow().as_ref().map(what)).ok().flatten()
}

/// The current runtime.
///
/// # Panics
/// If there is none: `what` was used outside of a task.
#[inline]
#[track_caller]
pub(crate) fn expect(what: &str) -> Rc<Core> {
    match with(Rc::clone) {
        Some(core) => core,
        None => outside(what),
    }
}

#[cold]
#[track_caller]
fn outside(what: &str) -> ! {
    panic!("{what} needs a runtime: call it in a future that `block_on` or `spawn` runs");
}
