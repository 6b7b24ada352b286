//! A bare io_uring instance, as a program without a library has it: the set-up flags that ukevent
//! uses, entered by its registered descriptor.
#![allow(unsafe_code, reason = "a bare ring is system calls and shared memory")]

use io_uring::squeue::Entry;
use io_uring::{IoUring, Submitter, cqueue};
use std::io::Error;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};
use ukevent_measure::Result;

/// As many as ukevent takes by default.
const SUBMISSIONS: u32 = 256;
const COMPLETIONS: u32 = 4096;
/// With so many completions untaken there is room for as many that the next call may make.
const GATHERED: u32 = 1024;

const ENTER_GETEVENTS: u32 = 1;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;

pub(crate) struct Ring {
    ring: IoUring,
    /// Its index in the thread's table of registered rings.
    registered: Option<u32>,
    /// Pushed and not submitted.
    pending: u32,
    /// Neither the index nor the ring is for another thread.
    thread: PhantomData<*const ()>,
}

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct RingFdUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

impl Ring {
    /// For this thread, which alone may use it.
    pub(crate) fn new() -> Result<Self> {
        // NO_SQARRAY is of Linux 6.6.
        let ring = build(true).or_else(|_| build(false))?;
        let mut update =
            RingFdUpdate { offset: u32::MAX, reserved: 0, data: ring.as_raw_fd() as u64 };
        let done = register(&ring, REGISTER_RING_FDS, &mut update);
        Ok(Self {
            ring,
            registered: (done == 1).then_some(update.offset),
            pending: 0,
            thread: PhantomData,
        })
    }

    /// Its descriptor, for others to send messages to.
    pub(crate) fn number(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// To register files and buffers with it.
    pub(crate) fn submitter(&self) -> Submitter<'_> {
        self.ring.submitter()
    }

    /// Writes these submissions, entering the kernel whenever the ring is full. What is left is
    /// submitted by the next entering.
    ///
    /// # Safety
    /// Memory that an entry points to must stay valid until it is submitted, and until it completes
    /// if the operation needs it for so long.
    #[inline]
    pub(crate) unsafe fn push(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<()> {
        let mut submission = self.ring.submission();
        for entry in entries {
            // SAFETY: the caller's promise.
            while unsafe { submission.push(&entry) }.is_err() {
                drop(submission);
                self.enter(0)?;
                submission = self.ring.submission();
            }
            self.pending += 1;
        }
        Ok(())
    }

    /// Submits, lets the kernel do what it put off, and waits for so many completions.
    #[inline]
    pub(crate) fn enter(&mut self, completions: u32) -> Result<()> {
        let (fd, flags) = match self.registered {
            Some(index) => (index as RawFd, ENTER_GETEVENTS | ENTER_REGISTERED_RING),
            None => (self.ring.as_raw_fd(), ENTER_GETEVENTS),
        };
        let no_mask: *const libc::sigset_t = std::ptr::null();
        // SAFETY: five integers and a null pointer, which means that there is no signal mask.
        let done = unsafe {
            let call = libc::SYS_io_uring_enter;
            libc::syscall(call, fd, self.pending, completions, flags, no_mask, 0_usize)
        };
        if done < 0 {
            return Err(Error::last_os_error().into());
        }
        self.pending -= (done as u32).min(self.pending);
        Ok(())
    }

    /// Whether an entering may do anything.
    #[inline]
    pub(crate) fn has_work(&mut self) -> bool {
        self.pending > 0 || self.ring.submission().taskrun() || self.ring.submission().cq_overflow()
    }

    /// Enters without sleeping until nothing more comes, or a good many completions are there.
    ///
    /// The kernel does twenty pieces of deferred work in one call, or as many as completions are
    /// asked for, and counts those that were not taken: asking for what is there never sleeps, and
    /// doubles the work of each call. Its flag says that there may be work, not that there is.
    #[inline]
    pub(crate) fn gather(&mut self) -> Result<()> {
        let mut waiting = self.waiting();
        while self.has_work() && waiting < GATHERED {
            self.enter(waiting)?;
            let before = std::mem::replace(&mut waiting, self.waiting());
            if waiting == before {
                break;
            }
        }
        Ok(())
    }

    /// How many completions are there.
    #[inline]
    fn waiting(&mut self) -> u32 {
        self.ring.completion().len() as u32
    }

    /// The completions that are there.
    #[inline]
    pub(crate) fn completions(&mut self) -> impl Iterator<Item = cqueue::Entry> {
        self.ring.completion()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // While it is registered, the kernel keeps it after it was closed.
        if let Some(offset) = self.registered {
            let mut update = RingFdUpdate { offset, reserved: 0, data: 0 };
            register(&self.ring, UNREGISTER_RING_FDS, &mut update);
        }
    }
}

fn build(no_sqarray: bool) -> std::io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(COMPLETIONS)
        .dontfork();
    if no_sqarray {
        builder.setup_no_sqarray();
    }
    builder.build(SUBMISSIONS)
}

fn register(ring: &IoUring, operation: u32, update: &mut RingFdUpdate) -> i64 {
    // SAFETY: the argument is one `io_uring_rsrc_update`, valid for reads and for the index that the
    // kernel may write back.
    unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            ring.as_raw_fd(),
            operation,
            std::ptr::from_mut(update),
            1,
        )
    }
}
