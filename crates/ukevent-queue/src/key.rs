//! Names of things: the key the queue gives out, the token the program chooses.

use std::fmt;

/// A registration, as the queue names it: an index and a generation.
///
/// Given out by [`Queue::register`](crate::Queue::register). The generation makes it unique: after
/// [`Queue::remove`](crate::Queue::remove) the key names nothing, even when its index, or the
/// descriptor number behind it, is used again. Eight bytes, `Copy`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// No registration.
    pub(crate) const NONE: Self = Self { index: u32::MAX, generation: 0 };

    /// The key as one number, for tables of the caller and for foreign interfaces.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The key that [`Key::to_bits`] made a number of. A number from elsewhere names nothing: the
    /// queue answers [`NoSuchKey`](crate::NoSuchKey).
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }

    /// This key, if it is not that of no registration; else another one that names nothing.
    pub(crate) fn named(self) -> Self {
        if self == Self::NONE { Self { index: u32::MAX - 1, ..self } } else { self }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}.{})", self.index, self.generation)
    }
}

/// What the program calls a registration: 64 bits that come back with every event of it
/// (kevent's user word, kqueue's `udata`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl From<u64> for Token {
    fn from(bits: u64) -> Self {
        Self(bits)
    }
}

impl From<usize> for Token {
    fn from(index: usize) -> Self {
        Self(index as u64)
    }
}
