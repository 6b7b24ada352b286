//! Buffers provided to the kernel before it needs them: it takes one for each receive, so that a
//! thousand idle connections hold none (io_uring_register(2), `IORING_REGISTER_PBUF_RING`).
//!
//! Each group is a ring of its own in memory: we write entries and move its tail, the kernel takes them
//! in order. A buffer's number is its place in a table that owns it from then until a completion says
//! that the kernel has filled it. There are as many numbers as entries, so the ring cannot overflow.

use super::{Lend, Ring};
use crate::{Error, Result};
use io_uring::{Probe, opcode};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// The most entries that a group has.
const MOST_ENTRIES: u16 = 1 << 15;

const REGISTER_PBUF_RING: u32 = 22;
const UNREGISTER_PBUF_RING: u32 = 23;
const REGISTER_PBUF_STATUS: u32 = 26;

/// `struct io_uring_buf`. That of the first entry has the tail of the ring in its last word.
#[repr(C)]
struct Entry {
    address: u64,
    bytes: u32,
    id: u16,
    tail: u16,
}

/// `struct io_uring_buf_reg`.
#[repr(C)]
struct Registration {
    address: u64,
    entries: u32,
    group: u16,
    flags: u16,
    reserved: [u64; 3],
}

/// `struct io_uring_buf_status`.
#[repr(C)]
struct Status {
    group: u32,
    head: u32,
    reserved: [u32; 8],
}

/// A group of provided buffers.
struct BufferRing<L> {
    number: u16,
    entries: NonNull<Entry>,
    tail: u16,
    /// By their numbers: those that the kernel has.
    buffers: Vec<Option<L>>,
    /// Numbers that no buffer has.
    free: Vec<u16>,
    /// Operations in flight that receive into it.
    receivers: usize,
}

// SAFETY: the mapping is this value's own and is not bound to a thread; the buffers are `Send`.
unsafe impl<L: Send> Send for BufferRing<L> {}

impl<L> BufferRing<L> {
    fn new(number: u16, entries: u16) -> Result<Self> {
        let bytes = usize::from(entries) * size_of::<Entry>();
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, where the kernel likes.
        let place = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if place == libc::MAP_FAILED {
            return Err(Error::last("mmap"));
        }
        let Some(entries_at) = NonNull::new(place.cast()) else {
            return Err(Error::new("mmap", libc::ENOMEM));
        };
        // A child of fork(2) must not use it, and the pages that the kernel holds stay ours. If it fails
        // the child has a copy.
        // SAFETY: the mapping of just now.
        unsafe { libc::madvise(place, bytes, libc::MADV_DONTFORK) };
        Ok(Self {
            number,
            entries: entries_at,
            tail: 0,
            buffers: std::iter::repeat_with(|| None).take(entries.into()).collect(),
            free: (0..entries).rev().collect(),
            receivers: 0,
        })
    }

    fn registration(&self) -> Registration {
        Registration {
            address: self.entries.as_ptr() as u64,
            entries: self.buffers.len() as u32,
            group: self.number,
            flags: 0,
            reserved: [0; 3],
        }
    }
}

impl<L: Lend> BufferRing<L> {
    fn provide(&mut self, mut buffer: L) -> std::result::Result<(), L> {
        let room = buffer.room();
        if room.is_empty() {
            return Err(buffer);
        }
        let Some(id) = self.free.pop() else { return Err(buffer) };
        let place = &mut self.buffers[usize::from(id)];
        // In its place before it is lent: only the table is moved from now on.
        let room = place.insert(buffer).room();
        let index = usize::from(self.tail) & (self.buffers.len() - 1);
        let tail = self.tail.wrapping_add(1);
        // SAFETY: the mapping has as many entries as there are buffers, a power of two. The kernel reads
        // an entry only below the tail; there this one is not, since no more are in use than there are
        // numbers. The tail's word, which lies in the first entry, is written as the atomic that it is
        // to the kernel, and by nothing else.
        unsafe {
            let entry = self.entries.as_ptr().add(index);
            (&raw mut (*entry).address).write(room.cast::<u8>() as u64);
            (&raw mut (*entry).bytes).write(u32::try_from(room.len()).unwrap_or(u32::MAX));
            (&raw mut (*entry).id).write(id);
            let shared = &raw mut (*self.entries.as_ptr()).tail;
            AtomicU16::from_ptr(shared).store(tail, Ordering::Release);
        }
        self.tail = tail;
        Ok(())
    }

    /// How many buffers the kernel has, or has filled in completions that were not taken.
    fn provided(&self) -> usize {
        self.buffers.len() - self.free.len()
    }

    /// Takes all buffers back, of which the kernel has taken those below `head`; nothing, if others than these were
    /// completed.
    ///
    /// # Safety
    /// Nothing receives into this group, and the kernel's head is that.
    unsafe fn take_back(&mut self, head: u16) -> Option<Vec<L>> {
        if usize::from(self.tail.wrapping_sub(head)) != self.provided() {
            return None;
        }
        // SAFETY: the word of the tail, as in `provide`. The kernel reads entries between its head and the tail when
        // it receives, which it does not now: from here on it finds none.
        unsafe {
            let shared = &raw mut (*self.entries.as_ptr()).tail;
            AtomicU16::from_ptr(shared).store(head, Ordering::Release);
        }
        self.tail = head;
        self.free = (0..self.buffers.len() as u16).rev().collect();
        Some(self.buffers.iter_mut().filter_map(Option::take).collect())
    }
}

impl<L> Drop for BufferRing<L> {
    fn drop(&mut self) {
        let bytes = self.buffers.len() * size_of::<Entry>();
        // SAFETY: our own mapping, which nothing uses any more; should the kernel hold its pages yet, it
        // keeps them.
        unsafe { libc::munmap(self.entries.as_ptr().cast(), bytes) };
    }
}

/// All groups of a ring. Few, so they are searched.
pub(super) struct Groups<L>(Vec<BufferRing<L>>);

impl<L: Lend> Groups<L> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes out a buffer that the kernel has filled.
    ///
    /// # Safety
    /// The kernel took it for a receive that has ended, which wrote so many bytes.
    pub(super) unsafe fn take(&mut self, group: u16, id: u16, bytes: usize) -> Option<L> {
        let group = self.0.iter_mut().find(|ring| ring.number == group)?;
        let mut buffer = group.buffers.get_mut(usize::from(id))?.take()?;
        group.free.push(id);
        let written = bytes.min(buffer.room().len());
        // SAFETY: the kernel wrote as much into its room, says the caller.
        unsafe { buffer.commit(written) };
        Some(buffer)
    }

    /// A receiver began (`by` is 1) or ended.
    pub(super) fn count_receiver(&mut self, group: u16, by: isize) {
        if let Some(ring) = self.find(group) {
            ring.receivers = ring.receivers.saturating_add_signed(by);
        }
    }

    fn find(&mut self, group: u16) -> Option<&mut BufferRing<L>> {
        self.0.iter_mut().find(|ring| ring.number == group)
    }

    /// Takes all of them from the kernel, as far as it lets go.
    pub(super) fn unregister(&self, ring: RawFd) {
        for group in &self.0 {
            // It fails in the wrong thread; then the kernel forgets them with the ring.
            let _ = register(ring, UNREGISTER_PBUF_RING, &mut group.registration());
        }
    }
}

impl<L: Lend> Ring<L> {
    /// Makes a group for as many provided buffers, rounded up to a power of two: where
    /// [`Operation::ReceiveEach`](super::Operation::ReceiveEach) finds its memory. Allocates; a system
    /// call. Linux 5.19. It lasts as long as the ring, if [`Ring::remove_group`] does not end it.
    ///
    /// # Errors
    /// `EINVAL`: no buffers, or more than 32,768. `EEXIST`: there is such a group, or this is not the
    /// thread that enabled the ring. `ENOMEM`.
    #[doc(alias = "IORING_REGISTER_PBUF_RING")]
    pub fn add_group(&mut self, group: u16, buffers: u16) -> Result<()> {
        if buffers == 0 || buffers > MOST_ENTRIES {
            return Err(Error::new("io_uring_register", libc::EINVAL));
        }
        let ring = BufferRing::new(group, buffers.next_power_of_two())?;
        register(self.ring.as_raw_fd(), REGISTER_PBUF_RING, &mut ring.registration())?;
        self.groups.0.push(ring);
        Ok(())
    }

    /// Provides a buffer to a group; its room is what a receive may fill. No system call.
    ///
    /// A receive that ended with `ENOBUFS` is not begun again by it: start it anew.
    ///
    /// # Errors
    /// The buffer comes back if the group has no place for it, if there is no such group, or if the
    /// buffer has no room.
    #[inline]
    pub fn provide(&mut self, group: u16, buffer: L) -> std::result::Result<(), L> {
        match self.groups.find(group) {
            Some(ring) => ring.provide(buffer),
            None => Err(buffer),
        }
    }

    /// Whether the kernel knows [`Operation::ReadEach`](super::Operation::ReadEach). A system call.
    #[must_use]
    pub fn reads_each(&self) -> bool {
        let mut probe = Probe::new();
        let probed = self.ring.submitter().register_probe(&mut probe);
        probed.is_ok() && probe.is_supported(opcode::ReadMulti::CODE)
    }

    /// How many buffers of a group the kernel has. Some may be in completions that were not yet taken.
    #[must_use]
    pub fn provided(&self, group: u16) -> usize {
        let ring = self.groups.0.iter().find(|ring| ring.number == group);
        ring.map_or(0, BufferRing::provided)
    }

    /// How many operations in flight receive into a group: not ended for the last time.
    #[must_use]
    pub fn receivers(&self, group: u16) -> usize {
        self.groups.0.iter().find(|ring| ring.number == group).map_or(0, |ring| ring.receivers)
    }

    /// Gives back the buffers of a group that the kernel has, and lets the group stay: it is cheaper to fill it again
    /// than to make another one. A system call. Linux 6.8.
    ///
    /// # Errors
    /// `EBUSY`: a receive that uses it is in flight, or the kernel's count is not ours. `ENOENT`: there is no such
    /// group. `EINVAL`: the kernel is older. `EEXIST`: this is not the thread that enabled the ring. Then
    /// [`Ring::remove_group`] may still do.
    #[doc(alias = "IORING_REGISTER_PBUF_STATUS")]
    pub fn empty_group(&mut self, group: u16) -> Result<Vec<L>> {
        let fd = self.ring.as_raw_fd();
        let error = |errno| Error::new("io_uring_register", errno);
        let ring = self.groups.find(group).ok_or_else(|| error(libc::ENOENT))?;
        if ring.receivers > 0 {
            return Err(error(libc::EBUSY));
        }
        let mut status = Status { group: group.into(), head: 0, reserved: [0; 8] };
        register(fd, REGISTER_PBUF_STATUS, &mut status)?;
        // SAFETY: there are no receivers, and that is the head.
        let taken = unsafe { ring.take_back(status.head as u16) };
        taken.ok_or_else(|| error(libc::EBUSY))
    }

    /// Ends a group, and gives back the buffers that the kernel had. A system call.
    ///
    /// # Errors
    /// `EBUSY`: a receive that uses it is in flight. `ENOENT`: there is no such group. `EEXIST`: this
    /// is not the thread that enabled the ring.
    pub fn remove_group(&mut self, group: u16) -> Result<Vec<L>> {
        let Some(index) = self.groups.0.iter().position(|ring| ring.number == group) else {
            return Err(Error::new("io_uring_register", libc::ENOENT));
        };
        if self.receivers(group) > 0 {
            return Err(Error::new("io_uring_register", libc::EBUSY));
        }
        let mut registration = self.groups.0[index].registration();
        register(self.ring.as_raw_fd(), UNREGISTER_PBUF_RING, &mut registration)?;
        let mut ring = self.groups.0.swap_remove(index);
        Ok(ring.buffers.iter_mut().filter_map(Option::take).collect())
    }
}

/// One of the three, with the argument that it takes: a [`Registration`], or a [`Status`].
fn register<T>(ring: RawFd, operation: u32, argument: &mut T) -> Result<()> {
    // SAFETY: the argument is one structure of the kernel's, and lives during the call. The entries that a registration
    // names are a mapping that lasts until the group is unregistered or the ring is closed; the kernel holds the pages
    // besides.
    let done = unsafe {
        libc::syscall(libc::SYS_io_uring_register, ring, operation, &raw mut *argument, 1)
    };
    if done < 0 { Err(Error::last("io_uring_register")) } else { Ok(()) }
}
