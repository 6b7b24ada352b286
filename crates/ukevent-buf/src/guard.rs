//! What debug builds check: that a block is written only while it is lent, and only within its bounds.
//!
//! Safe code cannot break either rule. The kernel can, told a wrong address or cancelled too late, and
//! so can who uses the raw pointers. A block that comes back is filled with [`RETURNED`]; when it is
//! lent again those bytes must still be there. Behind a block lies a line filled with [`FENCE`], which
//! must be there when it comes back. Which blocks are lent, and so whether one came back twice, is
//! known beside the memory. Release builds do none of this and have no fences.

use crate::arena::LINE_BYTES;
use std::ptr::NonNull;

/// Whether this build checks.
pub(crate) const CHECKED: bool = cfg!(debug_assertions);

/// Bytes behind a block that nobody may write.
pub(crate) const FENCE_BYTES: usize = if CHECKED { LINE_BYTES } else { 0 };

/// What a block that came back is filled with, as the seed's allocator did.
const RETURNED: u8 = 0xab;
const FENCE: u8 = 0xfe;

const RETURNED_BYTES: [u8; 4096] = [RETURNED; 4096];

/// Fills a block that came back.
///
/// # Safety
/// The bytes are the caller's alone.
pub(crate) unsafe fn poison(base: NonNull<u8>, bytes: usize) {
    // SAFETY: as promised.
    unsafe { base.write_bytes(RETURNED, bytes) };
}

/// Checks a block that was filled and is about to be lent.
///
/// # Safety
/// The bytes are the caller's alone.
///
/// # Panics
/// If they were written since.
pub(crate) unsafe fn check_poison(base: NonNull<u8>, bytes: usize) {
    // SAFETY: as promised, and always initialised.
    let found = unsafe { std::slice::from_raw_parts(base.as_ptr(), bytes) };
    for part in found.chunks(RETURNED_BYTES.len()) {
        if part != &RETURNED_BYTES[..part.len()] && !std::thread::panicking() {
            let at = found.iter().position(|byte| *byte != RETURNED).unwrap_or(0);
            panic!(
                "use after return: byte {at} of a free block of {bytes} bytes at {base:?} was written"
            );
        }
    }
}

/// Puts up the fence behind a block.
///
/// # Safety
/// The [`FENCE_BYTES`] from `end` on are the caller's alone.
pub(crate) unsafe fn raise_fence(end: NonNull<u8>) {
    // SAFETY: as promised.
    unsafe { end.write_bytes(FENCE, FENCE_BYTES) };
}

/// Checks the fence behind a block that comes back.
///
/// # Safety
/// As for [`raise_fence`], which put it up.
///
/// # Panics
/// If it was written.
pub(crate) unsafe fn check_fence(end: NonNull<u8>) {
    // SAFETY: as promised, and always initialised.
    let found = unsafe { std::slice::from_raw_parts(end.as_ptr(), FENCE_BYTES) };
    if found != [FENCE; FENCE_BYTES] && !std::thread::panicking() {
        let at = found.iter().position(|byte| *byte != FENCE).unwrap_or(0);
        panic!("overrun: byte {at} behind the end of a block, at {end:?}, was written");
    }
}

/// A set of small numbers; one without members in builds that do not check.
pub(crate) struct Marks(Box<[u64]>);

impl Marks {
    pub(crate) fn new(members: usize) -> Self {
        let words = if CHECKED { members.div_ceil(64) } else { 0 };
        Self(vec![0; words].into())
    }

    #[inline]
    pub(crate) fn has(&self, member: usize) -> bool {
        CHECKED && self.0[member / 64] >> (member % 64) & 1 != 0
    }

    /// True if it was no member.
    #[inline]
    pub(crate) fn insert(&mut self, member: usize) -> bool {
        if !CHECKED {
            return true;
        }
        let had = self.has(member);
        self.0[member / 64] |= 1 << (member % 64);
        !had
    }

    /// True if it was a member.
    #[inline]
    pub(crate) fn remove(&mut self, member: usize) -> bool {
        if !CHECKED {
            return true;
        }
        let had = self.has(member);
        self.0[member / 64] &= !(1 << (member % 64));
        had
    }
}
