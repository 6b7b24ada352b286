//! What a program can tell the processor about its memory.

/// Says that `place` will soon be read: the processor fetches it meanwhile. Changes nothing else, and
/// does nothing on processors that this crate does not know how to tell.
///
/// ```
/// use ukevent_sys::memory::prefetch;
///
/// let table = vec![1_u64; 1_000_000];
/// let mut sum = 0;
/// for at in (0..table.len()).step_by(97) {
///     table.get(at + 8 * 97).inspect(|later| prefetch(*later));
///     sum += table[at];
/// }
/// assert_eq!(sum, 10_310);
/// ```
#[inline]
pub fn prefetch<T>(place: &T) {
    let place = std::ptr::from_ref(place);
    // SAFETY: a prefetch neither faults nor changes what a program can see, whatever the address;
    // SSE, which has it, is part of every x86-64.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    // SAFETY: as above: a hint, which touches no register, flag or stack.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = place;
}
