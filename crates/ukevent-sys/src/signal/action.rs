//! Taking over the action of a signal, so that it reaches those who watch it whichever thread it
//! came to.
//!
//! A signal sent to the process goes to any thread that does not block it, and its default action is
//! to end the process. While a [`Takeover`] lives, such a thread runs [`forward`] instead, which
//! queues the signal, with its sender, to each thread that blocks it and reads a signalfd.
//!
//! Invariants:
//! - The handler touches [`TABLE`], atomics of fixed size that are never freed, and makes system
//!   calls; it takes no lock, allocates nothing and leaves errno as it was (signal-safety(7)).
//! - A target keeps its place in the entry, so that a handler finds each thread once. Once it is
//!   removed, no handler sends to it any more: a handler counts itself in before it looks for targets,
//!   and whoever removes one waits until those counted in are done. One that finds no target has a
//!   signal that came when nobody read it any more, and drops it.
//! - The kernel lets no thread send what looks like kill(2) or the kernel itself to another
//!   (rt_sigqueueinfo(2)), so codes are shifted out of that range on the way ([`shifted_code`]) and
//!   back when they are read ([`original_code`]).

use super::{LAST, SignalSet};
use crate::{Error, Result};
use std::{
    mem::MaybeUninit,
    sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

/// What is known of one signal.
struct Entry {
    /// Whether a [`Takeover`] of it lives.
    taken: AtomicBool,
    /// The threads to send it to; 0 is none.
    targets: [AtomicI32; Takeover::TARGETS],
    /// The process that the handler was installed in. A child made by fork(2) inherits the handler
    /// but not the queue.
    process: AtomicI32,
    /// How many handlers are looking for targets or sending to them.
    running: AtomicU32,
    /// How many could not be sent on.
    undelivered: AtomicU32,
    /// The action before: handler or `SIG_DFL` or `SIG_IGN`, flags, and signals to block.
    former_handler: AtomicUsize,
    former_flags: AtomicI32,
    former_mask: AtomicU64,
}

impl Entry {
    const fn new() -> Self {
        Self {
            taken: AtomicBool::new(false),
            targets: [const { AtomicI32::new(0) }; Takeover::TARGETS],
            process: AtomicI32::new(0),
            running: AtomicU32::new(0),
            undelivered: AtomicU32::new(0),
            former_handler: AtomicUsize::new(libc::SIG_DFL),
            former_flags: AtomicI32::new(0),
            former_mask: AtomicU64::new(0),
        }
    }

    fn targets(&self) -> impl Iterator<Item = i32> {
        self.targets.iter().map(|target| target.load(Ordering::SeqCst)).filter(|&it| it != 0)
    }

    /// Puts `to` in the place of `from`; `false` if that is nowhere.
    fn replace(&self, from: i32, to: i32) -> bool {
        let exchange = |target: &AtomicI32| {
            target.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        };
        self.targets.iter().any(exchange)
    }

    /// Waits until every handler that may know of a target that was removed is done. It makes a few
    /// system calls and waits for nobody.
    fn settle(&self) {
        let mut looks = 0;
        while self.running.load(Ordering::SeqCst) > 0 && self.is_of_this_process() {
            // Its thread may need this one's core, and have a lower priority.
            if looks < 100 {
                thread::yield_now()
            } else {
                thread::sleep(Duration::from_micros(50))
            }
            looks += 1;
        }
    }

    /// Whether the handler was installed in this process, and not in the one that forked it.
    fn is_of_this_process(&self) -> bool {
        // SAFETY: getpid(2) has no requirement, and is async-signal-safe.
        self.process.load(Ordering::Relaxed) == unsafe { libc::getpid() }
    }

    fn let_go(&self) {
        self.targets.iter().for_each(|target| target.store(0, Ordering::SeqCst));
        self.settle();
        self.taken.store(false, Ordering::Release);
    }
}

static TABLE: [Entry; LAST as usize + 1] = [const { Entry::new() }; LAST as usize + 1];

fn entry(signal: i32) -> Option<&'static Entry> {
    TABLE.get(usize::try_from(signal).ok()?)
}

/// What happens when a signal is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The default action (signal(7)).
    Default,
    /// Nothing.
    Ignore,
    /// The function at this address is called.
    Handler(usize),
}

/// What happens to a signal in this process now.
///
/// # Errors
/// `EINVAL`: there is no such signal, or the C library keeps it for itself.
pub fn disposition(signal: i32) -> Result<Disposition> {
    Ok(match action(signal)?.sa_sigaction {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignore,
        handler => Disposition::Handler(handler),
    })
}

/// The action of a signal, taken over: whichever thread of the process gets it sends it on to the
/// targets.
///
/// These must block the signal and read it with a [`SignalFd`](super::SignalFd). Should it come to a
/// target itself, because that thread unblocked it, it is blocked again there.
/// `SA_NOCLDSTOP` and `SA_NOCLDWAIT` stay as they were, and ignoring `SIGCHLD` goes on meaning that
/// children leave no zombie. Calls that a handler interrupts are restarted where the kernel can
/// (`SA_RESTART`, signal(7)).
///
/// Dropping it puts the former action back, unless the program installed another one meanwhile.
/// Linux 2.6.31.
///
/// ```
/// use ukevent_sys::signal::{self, Disposition, Takeover};
///
/// let signal = signal::rt_min() + 1;
/// let takeover = Takeover::new(signal, signal::this_thread())?;
/// assert!(matches!(signal::disposition(signal)?, Disposition::Handler(_)));
/// drop(takeover);
/// assert_eq!(signal::disposition(signal)?, Disposition::Default);
/// # Ok::<(), ukevent_sys::Error>(())
/// ```
#[derive(Debug)]
pub struct Takeover {
    signal: i32,
}

impl Takeover {
    /// How many targets a signal can have.
    pub const TARGETS: usize = 8;

    /// Takes over `signal` and sends it to the thread `target` of this process.
    ///
    /// # Errors
    /// `EBUSY`: it is taken over already. `EINVAL`: there is no such signal, its action cannot be
    /// changed, or the C library keeps it for itself.
    pub fn new(signal: i32, target: i32) -> Result<Self> {
        let Some(entry) = entry(signal) else {
            return Err(Error::new("sigaction", libc::EINVAL));
        };
        if entry.taken.swap(true, Ordering::AcqRel) {
            return Err(Error::new("sigaction", libc::EBUSY));
        }
        // Only now: before, it may be the handler of a takeover that is just being dropped.
        let former = action(signal).inspect_err(|_| entry.taken.store(false, Ordering::Release))?;
        entry.former_handler.store(former.sa_sigaction, Ordering::Relaxed);
        entry.former_flags.store(former.sa_flags, Ordering::Relaxed);
        let mask = SignalSet::from_raw(former.sa_mask).to_bits();
        entry.former_mask.store(mask, Ordering::Relaxed);
        entry.undelivered.store(0, Ordering::Relaxed);
        if !entry.is_of_this_process() {
            // Handlers of threads that fork(2) left behind never end here.
            entry.running.store(0, Ordering::Relaxed);
        }
        entry.process.store(rustix::process::getpid().as_raw_nonzero().get(), Ordering::Relaxed);
        entry.targets[0].store(target, Ordering::SeqCst);

        let mut flags = former.sa_flags & (libc::SA_NOCLDSTOP | libc::SA_NOCLDWAIT);
        if signal == libc::SIGCHLD && former.sa_sigaction == libc::SIG_IGN {
            flags |= libc::SA_NOCLDWAIT;
        }
        flags |= libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        let installed = set_action(signal, forward as *const () as usize, flags, SignalSet::full());
        if let Err(error) = installed {
            entry.let_go();
            return Err(error);
        }
        Ok(Self { signal })
    }

    /// The threads that it is sent to.
    pub fn targets(&self) -> impl Iterator<Item = i32> {
        entry(self.signal).into_iter().flat_map(Entry::targets)
    }

    /// Sends it to the thread `target` too. `false` if there are [`Takeover::TARGETS`] others.
    pub fn add_target(&self, target: i32) -> bool {
        let add =
            |entry: &Entry| entry.targets().any(|it| it == target) || entry.replace(0, target);
        entry(self.signal).is_some_and(add)
    }

    /// Sends it to the thread `target` no longer: when this returns, nothing more will come there
    /// from other threads. If it was the last one, what comes to them from now on is dropped.
    pub fn remove_target(&self, target: i32) {
        if let Some(entry) = entry(self.signal) {
            entry.replace(target, 0);
            entry.settle();
        }
    }

    /// How many could be sent to no target since the last call: they had ended, or the user's limit
    /// of pending signals was reached (`RLIMIT_SIGPENDING`).
    #[must_use]
    pub fn take_undelivered(&self) -> u32 {
        entry(self.signal).map_or(0, |entry| entry.undelivered.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Takeover {
    fn drop(&mut self) {
        let Some(entry) = entry(self.signal) else { return };
        if action(self.signal).is_ok_and(|now| now.sa_sigaction == forward as *const () as usize) {
            restore(self.signal, entry);
        }
        entry.let_go();
    }
}

/// Puts the former action back. Async-signal-safe.
fn restore(signal: i32, entry: &Entry) {
    // It was accepted once, so it is accepted again; there would be nobody to tell.
    let _ = set_action(
        signal,
        entry.former_handler.load(Ordering::Relaxed),
        entry.former_flags.load(Ordering::Relaxed),
        SignalSet::from_bits(entry.former_mask.load(Ordering::Relaxed)),
    );
}

fn action(signal: i32) -> Result<libc::sigaction> {
    let mut action = MaybeUninit::zeroed();
    // SAFETY: a null new action asks only; `action` may be written and is all zeroes before, which
    // is a valid value of each of its fields.
    unsafe {
        if libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0 {
            Ok(action.assume_init())
        } else {
            Err(Error::last("sigaction"))
        }
    }
}

/// Callers pass [`forward`] with `SA_SIGINFO`, or what [`action`] returned: no other address.
fn set_action(signal: i32, handler: usize, flags: i32, mask: SignalSet) -> Result<()> {
    // SAFETY: all zeroes is a valid value of each field, and those that matter are set below.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    action.sa_mask = *mask.as_raw();
    // SAFETY: `action` outlives the call. Its handler is `forward`, which is async-signal-safe and
    // has the signature that SA_SIGINFO asks for, or an action with its own flags as it was in force
    // before, for which whoever installed it answers.
    if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } == 0 {
        Ok(())
    } else {
        Err(Error::last("sigaction"))
    }
}

/// The handler: sends the signal on to the threads that read it.
extern "C" fn forward(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(entry) = entry(signal) else { return };
    // SAFETY: the C library's pointer to this thread's errno is valid for as long as the thread.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: getpid(2) and gettid(2) have no requirement.
    let (process, thread) = unsafe { (libc::getpid(), libc::gettid()) };

    if entry.is_of_this_process() {
        entry.running.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the kernel hands a SA_SIGINFO handler a valid siginfo.
        let mut copy = unsafe { forwarded(&*info) };
        let (mut sent, mut reached, mut is_target) = (false, false, false);
        for target in entry.targets() {
            sent = true;
            reached |= queue_to(process, target, signal, &raw mut copy);
            is_target |= target == thread;
        }
        if sent && !reached {
            entry.undelivered.fetch_add(1, Ordering::Relaxed);
        }
        entry.running.fetch_sub(1, Ordering::SeqCst);
        if is_target {
            // It was to block the signal. Blocked when the handler returns, or it would come here
            // again and again.
            // SAFETY: the kernel hands a SA_SIGINFO handler a valid ucontext.
            unsafe { block_in(context.cast(), signal) };
        }
    } else {
        // A child made by fork(2), where nobody reads: what the action was before is due. The table
        // is only read, for after vfork(2) it is the parent's.
        restore(signal, entry);
        queue_to(process, thread, signal, info);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Queues a signal with all that belongs to it; `false` if the kernel refused.
fn queue_to(process: i32, thread: i32, signal: i32, info: *mut libc::siginfo_t) -> bool {
    // SAFETY: `info` is valid for reads: it is the kernel's or our copy. The kernel checks the rest.
    unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, process, thread, signal, info) == 0 }
}

/// Blocks `signal` in the mask that is in force when the handler returns.
///
/// # Safety
/// `context` is the third argument of a `SA_SIGINFO` handler that is running.
unsafe fn block_in(context: *mut libc::ucontext_t, signal: i32) {
    let bit = (signal - 1) as usize;
    // SAFETY: the caller's promise. The kernel's mask is an array of words, 64 bits in all, and the
    // C library's longer one begins with it; `signal` is at most 64, so the word is the kernel's.
    unsafe {
        let words = (&raw mut (*context).uc_sigmask).cast::<libc::c_ulong>();
        let word = words.add(bit / libc::c_ulong::BITS as usize);
        word.write(word.read() | 1 << (bit % libc::c_ulong::BITS as usize));
    }
}

/// `siginfo_t` as sigqueue(3) fills it: the only layout that the kernel hands through for codes it
/// does not know.
#[repr(C)]
struct QueuedInfo {
    signal: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    sender: Sender,
}

/// Aligned as the pointer in it, which places it as the union in `siginfo_t`.
#[repr(C)]
struct Sender {
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: *mut libc::c_void,
}

const _: () = assert!(size_of::<QueuedInfo>() <= size_of::<libc::siginfo_t>());
const _: () = assert!(align_of::<QueuedInfo>() <= align_of::<libc::siginfo_t>());

/// A copy that may be sent to another thread: the code shifted, the sender kept if there is one.
fn forwarded(info: &libc::siginfo_t) -> libc::siginfo_t {
    // SAFETY: all zeroes is a valid siginfo.
    let mut copy: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
    let (mut pid, mut uid, mut value) = (0, 0, std::ptr::null_mut());
    if has_sender(info.si_signo, info.si_code) {
        // SAFETY: the code says that these fields are set (sigaction(2)); those beyond are read as
        // bytes of a siginfo that the kernel cleared.
        (pid, uid, value) = unsafe { (info.si_pid(), info.si_uid(), info.si_value().sival_ptr) };
    }
    let queued = QueuedInfo {
        signal: info.si_signo,
        errno: 0,
        code: shifted_code(info.si_code),
        sender: Sender { pid, uid, value },
    };
    // SAFETY: it fits and is no more strictly aligned, as asserted above.
    unsafe { (&raw mut copy).cast::<QueuedInfo>().write(queued) };
    copy
}

/// Whether `siginfo_t` names a process (sigaction(2)).
fn has_sender(signal: i32, code: i32) -> bool {
    match code {
        libc::SI_USER | libc::SI_TKILL => true,
        libc::SI_TIMER | libc::SI_SIGIO => false,
        code if code < 0 => true,
        _ => signal == libc::SIGCHLD && code < libc::SI_KERNEL,
    }
}

/// Whether a value comes with a signal of this code.
pub(super) fn carries_value(code: i32) -> bool {
    code < 0 && code != libc::SI_TKILL && code != libc::SI_SIGIO
}

/// Where shifted codes lie: far from the kernel's, and from those that programs make up.
const SHIFT: i32 = -0x4000_0000;
/// The codes that can be shifted, all of the kernel's among them.
const SHIFTED: std::ops::Range<i32> = -0x1000_0000..0x1000_0000;

/// A code that one thread may send to another, and that says that it was sent on. What a program
/// made up out of range becomes a plain sigqueue(3).
pub(super) fn shifted_code(code: i32) -> i32 {
    SHIFT + if SHIFTED.contains(&code) { code } else { libc::SI_QUEUE }
}

/// The code before [`shifted_code`], and whether it had been shifted: sent on by a [`Takeover`].
pub(super) fn original_code(code: i32) -> (i32, bool) {
    let original = code.wrapping_sub(SHIFT);
    if SHIFTED.contains(&original) { (original, true) } else { (code, false) }
}
