//! Who runs this code: a thread, told apart from its copy in a child that fork(2) made.
//!
//! Some of what the kernel gives belongs to the thread that asked (an io_uring instance may be entered
//! by one thread only), and some does not survive a fork (its memory is not there in the child). Both
//! are asked about on paths where a system call would cost too much. So the thread is known from its
//! own memory, and forks are counted in the child by pthread_atfork(3). A child made by clone(2)
//! without the C library is not seen.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, ThreadId};

/// How many forks lie between the process that first asked and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// A process, as far as forks tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// This one. The first call of all makes forks count.
    #[must_use]
    pub fn current() -> Self {
        static COUNTING: Once = Once::new();
        COUNTING.call_once(|| {
            // SAFETY: the function is async-signal-safe and stays where it is: this library is not
            // unloaded. It fails only without memory; a fork is then not noticed.
            unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        });
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether it is the one that runs this.
    #[must_use]
    #[inline]
    pub fn is_current(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }
}

/// A thread of a process.
///
/// ```
/// use ukevent_sys::runner::Runner;
///
/// let runner = Runner::current();
/// assert!(runner.is_current());
/// assert!(!std::thread::spawn(move || runner.is_current()).join().unwrap());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runner {
    thread: ThreadId,
    process: Process,
}

impl Runner {
    /// The one that runs this.
    #[must_use]
    pub fn current() -> Self {
        Self { thread: this_thread(), process: Process::current() }
    }

    /// Whether it is the one that runs this. No system call.
    #[must_use]
    #[inline]
    pub fn is_current(self) -> bool {
        self.process.is_current() && self.thread == this_thread()
    }
}

#[inline]
fn this_thread() -> ThreadId {
    thread_local! {
        // Asking the thread itself costs an atomic count each time.
        static CURRENT: ThreadId = thread::current().id();
    }
    // A thread that is ending has lost it.
    CURRENT.try_with(|id| *id).unwrap_or_else(|_| thread::current().id())
}
