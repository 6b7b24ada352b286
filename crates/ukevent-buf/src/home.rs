//! The home of blocks: one thread allocates and frees without atomic steps, others give back through
//! the return rings, and the memory lives until the last block is back.
//!
//! A [`Home`] belongs to the thread that used it first; `owner` says which. That thread alone touches
//! the [`Shelf`], where the free blocks are. Only a thread itself makes itself the owner, and only it
//! ends that (or marks the word `ABANDONED` meanwhile, see below), so comparing `owner` with one's
//! own number needs no ordering: it is equal if and only if this thread wrote it.
//!
//! What ends: the thread, the handle ([`Owner`]), the last block; in any order.
//! - The owning thread ends: the home belongs to nobody, and the next thread that uses the handle
//!   gets it.
//! - The handle is dropped, in the owning thread or when there is none: the home is *settled*. The
//!   ways home are closed, what is still lent is counted, and who brings the last block frees all.
//! - The handle is dropped elsewhere: the owning thread is told by a mark in `owner`, and settles at
//!   its next free, or when it ends. It alone knows what is lent.
//!
//! Such counting by the owner without atomic steps and by others with them is biased reference
//! counting (Choi, Shull, Torrellas, 2018).

use crate::error::WrongThread;
use crate::primitive::{AtomicBool, AtomicU64, Ordering, Padded, UnsafeCell};
use crate::returns::{CLOSED, HUNGRY, Returns};
use crate::thread::{self, NOBODY, Possession};
use std::{ptr::NonNull, task::Waker};

/// The handle is gone, and the owning thread does not know yet.
const ABANDONED: u64 = 1;
/// Settled: no thread owns it, and none will. No thread's number is odd.
const SETTLED: u64 = 1;

/// Says when the owner is to look what others gave back: now and then, so that it costs nothing.
pub(crate) struct Lookout {
    left: u32,
}

impl Lookout {
    /// Blocks that are taken between two looks.
    const EVERY: u32 = 64;

    #[inline(always)]
    pub(crate) const fn is_due(&mut self) -> bool {
        self.left -= 1;
        if self.left > 0 {
            return false;
        }
        self.left = Self::EVERY;
        true
    }
}

impl Default for Lookout {
    fn default() -> Self {
        Self { left: Self::EVERY }
    }
}

/// Where the free blocks are: of the owning thread alone.
pub(crate) trait Shelf: Send + Sized {
    /// What every thread may look at, such as where the memory is.
    type Side: Send + Sync;
    /// Memory that the shelf need not keep; dropping it gives it up, and may call wakers.
    type Surplus;

    /// A block is back. Calls nothing that could come back here.
    fn put(&mut self, side: &Self::Side, index: u32);

    /// How many blocks are lent and not back.
    fn lent(&self, side: &Self::Side) -> u32;

    /// Notes beside a block on its way home which one lies below it on the stack; and tells it again.
    fn link(side: &Self::Side, index: u32, below: u32);
    fn linked(side: &Self::Side, index: u32) -> u32;

    /// What became superfluous by the last put.
    fn surplus(&mut self) -> Option<Self::Surplus>;
}

/// One shelf, and the ways to it.
#[repr(C)]
pub(crate) struct Home<S: Shelf> {
    // Read by all, written rarely.
    owner: AtomicU64,
    /// The owner found nothing and waits. Read and written by it alone; the marks tell the others.
    hungry: AtomicBool,
    waker: Option<Waker>,
    side: S::Side,
    /// Once settled: how many are lent, and 1 while the counting goes on.
    orphans: AtomicU64,
    returns: Returns,
    // Of the owner.
    shelf: Padded<UnsafeCell<S>>,
}

impl<S: Shelf> Home<S> {
    /// What every thread may look at.
    #[inline(always)]
    pub(crate) const fn side(&self) -> &S::Side {
        &self.side
    }

    /// Puts on the shelf what others brought; how much. Of the owner.
    #[inline(never)]
    pub(crate) fn drain(&self, shelf: &mut S) -> u32 {
        let linked = |index| S::linked(&self.side, index);
        let count = self.returns.drain(linked, |index| shelf.put(&self.side, index));
        if count > 0 {
            self.end_hunger();
        }
        count
    }

    /// Says that the owner waits no more. Marks that are left wake it once for nothing. Of the owner.
    pub(crate) fn end_hunger(&self) {
        self.hungry.store(false, Ordering::Relaxed);
    }

    /// Says that the owner waits for a block. True if one came before that: then it does not wait,
    /// and the shelf has it. Of the owner.
    #[cold]
    pub(crate) fn starve(&self, shelf: &mut S) -> bool {
        if self.waker.is_none() {
            return false;
        }
        let came = self.returns.mark_hungry();
        self.hungry.store(true, Ordering::Relaxed);
        if came {
            self.drain(shelf);
        }
        came
    }

    /// Takes a block back, in whatever thread.
    ///
    /// # Safety
    /// The home lent the block under this index, and nobody uses its memory any more.
    #[inline]
    pub(crate) unsafe fn release(home: NonNull<Self>, index: u32) {
        // SAFETY: a home lives until the last block it lent is back, and this one is not yet.
        let this = unsafe { home.as_ref() };
        if this.owner.load(Ordering::Relaxed) == thread::id_so_far() {
            // SAFETY: this thread is the owner, so nobody else is at the shelf; and nothing below it
            // on the stack is, because what runs with the shelf never frees a block.
            let surplus = this.shelf.with_mut(|shelf| unsafe {
                (*shelf).put(&this.side, index);
                (*shelf).surplus()
            });
            if surplus.is_some() || this.hungry.load(Ordering::Relaxed) {
                // SAFETY: the handle lives, or the word would be marked; and with it the home.
                unsafe { Self::after_put(home, surplus) };
            }
        } else {
            // SAFETY: as promised to this function.
            unsafe { Self::release_elsewhere(home, index) };
        }
    }

    /// What is left to do when a block came back to the owner: this calls wakers, and a waker may do
    /// anything, such as dropping the handle.
    ///
    /// # Safety
    /// The home lives, and this thread owns it.
    #[cold]
    unsafe fn after_put(home: NonNull<Self>, surplus: Option<S::Surplus>) {
        // SAFETY: it lives; it is not used after the first waker may have been called.
        let this = unsafe { home.as_ref() };
        let is_hungry = this.hungry.load(Ordering::Relaxed);
        this.hungry.store(false, Ordering::Relaxed);
        let waker = if is_hungry { this.waker.clone() } else { None };
        drop(surplus);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// In a thread that does not own the home, or owns one whose handle is gone.
    ///
    /// # Safety
    /// As for [`Home::release`].
    #[inline(never)]
    unsafe fn release_elsewhere(home: NonNull<Self>, index: u32) {
        // SAFETY: the block is not back, so the home lives.
        let this = unsafe { home.as_ref() };
        if this.owner.load(Ordering::Relaxed) == thread::id() | ABANDONED {
            // SAFETY: this thread is the owner, and the handle is gone.
            unsafe {
                this.shelf.with_mut(|shelf| (*shelf).put(&this.side, index));
                thread::disown(home.cast());
                Self::settle(home);
            }
        } else {
            // SAFETY: as promised to this function.
            unsafe { Self::give(home, index) };
        }
    }

    /// Sends a block home.
    ///
    /// # Safety
    /// As for [`Home::release`]; this thread is not the owner.
    unsafe fn give(home: NonNull<Self>, index: u32) {
        // SAFETY: a home lives until the last block it lent is back. This one is back when the word
        // was changed; what follows that touches nothing of the home, by this or any reference.
        let this = unsafe { home.as_ref() };
        let mut way = this.returns.way(thread::lane());
        let mut waker = None;
        // SAFETY: as above; the block is not back.
        let mut seen = unsafe { (*way.word()).load(Ordering::Acquire) };
        loop {
            if seen & CLOSED != 0 {
                // SAFETY: the home is settled, and this block is one that it counts.
                return unsafe { Self::count_down(home, 1) };
            }
            let link = |below| S::link(&this.side, index, below);
            let Some(next) = way.stage(seen, index, link) else {
                way = this.returns.stack();
                // SAFETY: as above; the block is not back.
                seen = unsafe { (*way.word()).load(Ordering::Acquire) };
                continue;
            };
            // Whoever sees a mark wakes, without asking whether the owner still waits: setting a mark
            // again does not change the word, so an answer could be out of date unnoticed.
            if seen & HUNGRY != 0 && waker.is_none() {
                waker = this.waker.clone();
            }
            // Release: what was done with the block comes before what its next holder does.
            // SAFETY: as above; the block is not back until this succeeds.
            let changed = unsafe {
                (*way.word()).compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire)
            };
            match changed {
                Ok(_) => {
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                    return;
                }
                // The owner set a mark, or on the stack others were faster. One of them may have
                // cleared the mark; the waker is called all the same.
                Err(now) => seen = now,
            }
        }
    }

    /// Counts what is lent; whoever brings the last block frees the home, this function itself if
    /// nothing is lent.
    ///
    /// # Safety
    /// The handle is gone; this thread owns the home, or nobody does and nobody can become its owner.
    #[cold]
    unsafe fn settle(home: NonNull<Self>) {
        // SAFETY: nobody but this function can free it, until its last step.
        let this = unsafe { home.as_ref() };
        this.owner.store(SETTLED, Ordering::Relaxed);
        let counted = this.shelf.with_mut(|shelf| {
            // SAFETY: by the owner, or the only one that can come here.
            let shelf = unsafe { &mut *shelf };
            // Before the ways are closed, as those that find them closed subtract from it.
            this.orphans.store(u64::from(shelf.lent(&this.side)) + 1, Ordering::Relaxed);
            let linked = |index| S::linked(&this.side, index);
            this.returns.close(linked, |index| shelf.put(&this.side, index))
        });
        // SAFETY: settled, with what was on the way and the 1 in the count.
        unsafe { Self::count_down(home, u64::from(counted) + 1) };
    }

    /// So many blocks are back for good.
    ///
    /// # Safety
    /// The home is settled, and these are in its count. It may be gone afterwards.
    unsafe fn count_down(home: NonNull<Self>, count: u64) {
        // Release: what was done with a block comes before the memory goes. Acquire: and that of
        // all others, for the one that lets it go.
        // SAFETY: it lives until its count is 0, and these are still in it.
        let before = unsafe { (*home.as_ptr()).orphans.fetch_sub(count, Ordering::AcqRel) };
        if before == count {
            // SAFETY: made by `Owner::new` of a box; the handle and all blocks are gone, so this is
            // the last that knows of it.
            drop(unsafe { Box::from_raw(home.as_ptr()) });
        }
    }

    /// The thread that owns the home ends.
    ///
    /// # Safety
    /// `home` is one, and this thread owns it.
    unsafe fn thread_ends(home: NonNull<()>) {
        let home = home.cast::<Self>();
        // Release: what this thread did comes before what the next owner does. The home lives: it is
        // not settled before this, by any other thread.
        // SAFETY: as said.
        let before = unsafe { (*home.as_ptr()).owner.swap(NOBODY, Ordering::AcqRel) };
        if before & ABANDONED != 0 {
            // SAFETY: the handle is gone, so nobody can become the owner.
            unsafe { Self::settle(home) };
        }
    }
}

/// The one handle of a [`Home`]. May be sent to another thread, and looked at by several: all but the
/// owner are refused.
pub(crate) struct Owner<S: Shelf>(NonNull<Home<S>>);

// SAFETY: the shelf is `Send` and touched by the thread alone that `owner` names, which changes hands
// only with release and acquire; everything else in a home is for all threads.
unsafe impl<S: Shelf> Send for Owner<S> {}
// SAFETY: as above: whoever has only a reference comes to the shelf by `with`, which lets in the owner
// alone, and of several threads that claim it at once one becomes that. The rest is for all threads.
unsafe impl<S: Shelf> Sync for Owner<S> {}

impl<S: Shelf> Owner<S> {
    /// For at most `blocks` that can be lent at once. `waker` is called when something comes back
    /// after [`Home::starve`].
    pub(crate) fn new(shelf: S, side: S::Side, blocks: u32, waker: Option<Waker>) -> Self {
        let home = Home {
            owner: AtomicU64::new(NOBODY),
            hungry: AtomicBool::new(false),
            waker,
            side,
            orphans: AtomicU64::new(0),
            returns: Returns::new(blocks),
            shelf: Padded(UnsafeCell::new(shelf)),
        };
        Self(NonNull::from(Box::leak(Box::new(home))))
    }

    /// The home, for what is lent: it lives as long as that.
    #[inline(always)]
    pub(crate) const fn home(&self) -> NonNull<Home<S>> {
        self.0
    }

    /// What every thread may look at.
    #[inline(always)]
    pub(crate) const fn side(&self) -> &S::Side {
        // SAFETY: the home lives at least as long as its handle.
        unsafe { &self.0.as_ref().side }
    }

    /// Works at the shelf, if this thread owns it or can get it. `work` must not free a block, call a
    /// waker, or come here again.
    #[inline(always)]
    pub(crate) fn with<R>(
        &self,
        work: impl FnOnce(&mut S, &Home<S>) -> R,
    ) -> Result<R, WrongThread> {
        // SAFETY: the home lives at least as long as its handle.
        let home = unsafe { self.0.as_ref() };
        if home.owner.load(Ordering::Relaxed) != thread::id_so_far() {
            self.claim()?;
        }
        // SAFETY: this thread is the owner, so nobody else is at the shelf; and nothing below on the
        // stack is, by what `work` must not do (all callers are in this crate and keep to it).
        Ok(home.shelf.with_mut(|shelf| work(unsafe { &mut *shelf }, home)))
    }

    /// The same, but if nobody owned it, nobody does afterwards.
    pub(crate) fn visit<R>(
        &self,
        work: impl FnOnce(&mut S, &Home<S>) -> R,
    ) -> Result<R, WrongThread> {
        // SAFETY: the home lives at least as long as its handle.
        let was_nobodys = unsafe { self.0.as_ref() }.owner.load(Ordering::Relaxed) == NOBODY;
        let result = self.with(work);
        if was_nobodys {
            self.let_go();
        }
        result
    }

    /// If this thread owns it: nobody does any more.
    pub(crate) fn let_go(&self) {
        // SAFETY: the home lives at least as long as its handle.
        let home = unsafe { self.0.as_ref() };
        if home.owner.load(Ordering::Relaxed) == thread::id() {
            thread::disown(self.0.cast());
            // Release: what this thread did comes before what the next owner does.
            home.owner.store(NOBODY, Ordering::Release);
        }
    }

    /// Makes this thread the owner, if there is none.
    #[cold]
    fn claim(&self) -> Result<(), WrongThread> {
        // SAFETY: the home lives at least as long as its handle.
        let home = unsafe { self.0.as_ref() };
        // Acquire: what the last owner did comes before what this one does.
        home.owner
            .compare_exchange(NOBODY, thread::id(), Ordering::Acquire, Ordering::Relaxed)
            .map_err(|_| WrongThread)?;
        let possession = Possession { what: self.0.cast(), thread_ends: Home::<S>::thread_ends };
        // SAFETY: this thread owns the home until it is disowned, and the home lives until then.
        if unsafe { thread::own(possession) } {
            Ok(())
        } else {
            home.owner.store(NOBODY, Ordering::Release);
            Err(WrongThread)
        }
    }
}

impl<S: Shelf> Drop for Owner<S> {
    fn drop(&mut self) {
        // SAFETY: the home lives at least as long as its handle; and longer, if another thread owns
        // it, until that sees the mark which is made last.
        let home = unsafe { self.0.as_ref() };
        // Acquire: what the last owner did comes before settling.
        let mut owner = home.owner.load(Ordering::Acquire);
        loop {
            if owner == NOBODY || owner == thread::id() {
                thread::disown(self.0.cast());
                // SAFETY: the handle goes with this. This thread owns the home, or nobody does, and
                // only the holder of the handle could change that.
                return unsafe { Home::settle(self.0) };
            }
            match home.owner.compare_exchange(
                owner,
                owner | ABANDONED,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return,
                Err(now) => owner = now,
            }
        }
    }
}

#[cfg(test)]
mod tests;
