//! The signal mask of the calling thread (pthread_sigmask(3)).

use super::SignalSet;
use crate::{Error, Result};

/// Blocks the signals of `set` in the calling thread and returns the mask as it was.
///
/// Threads and programs that this thread starts from now on inherit the mask.
///
/// # Errors
/// None that the kernel documents for a valid set.
pub fn block(set: &SignalSet) -> Result<SignalSet> {
    change(libc::SIG_BLOCK, Some(set))
}

/// Unblocks the signals of `set` in the calling thread and returns the mask as it was. Those that
/// are pending are delivered before it returns.
///
/// # Errors
/// None that the kernel documents for a valid set.
pub fn unblock(set: &SignalSet) -> Result<SignalSet> {
    change(libc::SIG_UNBLOCK, Some(set))
}

/// Does something while the calling thread takes no signal: a thread that is made in it takes none for
/// as long as it lives, so that the program's threads, and their waits, are interrupted as they expect.
///
/// ```
/// use ukevent_sys::signal::with_all_blocked;
///
/// let thread = with_all_blocked(|| std::thread::spawn(|| 7));
/// assert_eq!(thread.join().ok(), Some(7));
/// ```
pub fn with_all_blocked<T>(make: impl FnOnce() -> T) -> T {
    let former = block(&SignalSet::full()).ok();
    let made = make();
    if let Some(former) = former {
        // It was the mask a moment ago.
        let _ = set_blocked(&former);
    }
    made
}

/// Makes `set` the mask of the calling thread and returns the mask as it was.
///
/// # Errors
/// None that the kernel documents for a valid set.
pub fn set_blocked(set: &SignalSet) -> Result<SignalSet> {
    change(libc::SIG_SETMASK, Some(set))
}

/// The mask of the calling thread.
///
/// # Errors
/// None that the kernel documents.
pub fn blocked() -> Result<SignalSet> {
    change(libc::SIG_BLOCK, None)
}

/// The kernel's number of the calling thread (gettid(2)).
#[must_use]
pub fn this_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

fn change(how: libc::c_int, set: Option<&SignalSet>) -> Result<SignalSet> {
    let mut former = *SignalSet::empty().as_raw();
    let set = set.map_or(std::ptr::null(), |set| std::ptr::from_ref(set.as_raw()));
    // SAFETY: `set` is null or points to an initialised set that outlives the call; `former` is
    // ours to write. Blocking a signal breaks no memory rule.
    match unsafe { libc::pthread_sigmask(how, set, &raw mut former) } {
        0 => Ok(SignalSet::from_raw(former)),
        errno => Err(Error::new("pthread_sigmask", errno)),
    }
}
