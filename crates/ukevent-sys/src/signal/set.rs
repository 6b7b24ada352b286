//! The set of signals (sigsetops(3)).

use crate::{Error, Result};
use std::{fmt, mem::MaybeUninit};

/// A set of signals: the C library's `sigset_t`.
///
/// Used as the mask of a wait, and for what a [`SignalFd`](super::SignalFd) reads. 128 bytes with
/// glibc; allocates nothing.
///
/// ```
/// use ukevent_sys::signal::{SignalSet, number};
///
/// let hup = number("hup").ok_or("no SIGHUP")?;
/// let mut set = SignalSet::empty();
/// set.add(hup)?;
/// assert!(set.contains(hup) && !set.contains(hup + 1));
/// set.remove(hup)?;
/// assert_eq!(set, SignalSet::empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// The set of no signal.
    #[must_use]
    pub fn empty() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `set` may be written; sigemptyset(3) writes all of it and cannot fail.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// The set of all signals, but for the two that glibc keeps for itself.
    #[must_use]
    pub fn full() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `set` may be written; sigfillset(3) writes all of it and cannot fail.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// Adds a signal. Adding it again changes nothing.
    ///
    /// # Errors
    /// `EINVAL`: there is no such signal, or the C library keeps it for itself.
    pub fn add(&mut self, signal: i32) -> Result<()> {
        // SAFETY: the set was initialised by a constructor and is exclusively borrowed.
        done("sigaddset", unsafe { libc::sigaddset(&raw mut self.0, signal) })
    }

    /// Takes a signal out. Taking out what is not in it changes nothing.
    ///
    /// # Errors
    /// `EINVAL`: there is no such signal, or the C library keeps it for itself.
    pub fn remove(&mut self, signal: i32) -> Result<()> {
        // SAFETY: the set was initialised by a constructor and is exclusively borrowed.
        done("sigdelset", unsafe { libc::sigdelset(&raw mut self.0, signal) })
    }

    /// Whether the signal is in the set; `false` for a number that is none.
    #[must_use]
    pub fn contains(&self, signal: i32) -> bool {
        // SAFETY: the set was initialised by a constructor; the call only reads it.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }

    /// Whether no signal is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The signals in the set, by number.
    pub fn iter(&self) -> impl Iterator<Item = i32> + '_ {
        (1..=super::LAST).filter(|&signal| self.contains(signal))
    }

    /// The C library's type, for the calls that take one.
    #[must_use]
    pub const fn as_raw(&self) -> &libc::sigset_t {
        &self.0
    }

    /// A set that a call of the C library filled.
    pub(super) const fn from_raw(set: libc::sigset_t) -> Self {
        Self(set)
    }

    /// One bit for each signal, as the kernel has it: bit 0 is signal 1.
    pub(super) fn to_bits(self) -> u64 {
        self.iter().fold(0, |bits, signal| bits | 1 << (signal - 1))
    }

    /// The set that [`SignalSet::to_bits`] made bits of. Async-signal-safe.
    pub(super) fn from_bits(bits: u64) -> Self {
        let mut set = Self::empty();
        for signal in (1..=super::LAST).filter(|signal| bits & 1 << (signal - 1) != 0) {
            // The C library's own signals were never in a set, so they cannot be in the bits.
            let _ = set.add(signal);
        }
        set
    }
}

fn done(call: &'static str, result: libc::c_int) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(Error::last(call)) }
}

impl Default for SignalSet {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for SignalSet {
    fn eq(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}

impl Eq for SignalSet {}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Name)).finish()
    }
}

/// Prints a signal's name without quotation marks.
struct Name(i32);

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::name(self.0).unwrap_or_else(|| self.0.to_string().into()))
    }
}
