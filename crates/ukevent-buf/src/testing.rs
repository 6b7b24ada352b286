//! What the tests of several modules need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

/// A waker that counts its calls.
#[derive(Default)]
pub(crate) struct Calls(AtomicU64);

impl Calls {
    pub(crate) fn new() -> (Waker, Arc<Self>) {
        let calls = Arc::new(Self::default());
        (calls.clone().into(), calls)
    }

    /// How many there were since the last time.
    pub(crate) fn take(&self) -> u64 {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
