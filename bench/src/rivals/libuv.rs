//! libuv: a heap of timers with a resolution of one millisecond, and polled descriptors (levels of epoll).
//!
//! Its shared library is opened at run time. Declarations are those of `uv.h` of libuv 1, whose version is in the
//! library's name; it says itself how large its structures are. Of these only the beginning is known here,
//! which is documented: a loop begins with `data`, and a handle with `data` and its loop.
#![allow(unsafe_code, reason = "the functions of libuv are C, and it works in our memory")]

use super::library;
use libloading::Library;
use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::OnceLock;
use ukevent_bench::tables::ready::{Descriptor, Readiness, Seen, Trigger};
use ukevent_bench::tables::timers::Timers;
use ukevent_measure::Result;

const UV_POLL: c_int = 8;
const UV_TIMER: c_int = 13;
const UV_RUN_DEFAULT: c_int = 0;
const UV_RUN_ONCE: c_int = 1;
const UV_RUN_NOWAIT: c_int = 2;
const UV_READABLE: c_int = 1;

/// How `uv_loop_t` begins.
#[repr(C)]
struct Loop {
    data: *mut c_void,
}

/// How `uv_handle_t`, `uv_timer_t` and `uv_poll_t` begin.
#[repr(C)]
struct Handle {
    data: *mut c_void,
    of: *mut Loop,
}

type OnTimer = unsafe extern "C" fn(*mut Handle);
type OnPoll = unsafe extern "C" fn(*mut Handle, c_int, c_int);

struct Api {
    loop_size: unsafe extern "C" fn() -> usize,
    loop_init: unsafe extern "C" fn(*mut Loop) -> c_int,
    loop_close: unsafe extern "C" fn(*mut Loop) -> c_int,
    run: unsafe extern "C" fn(*mut Loop, c_int) -> c_int,
    now: unsafe extern "C" fn(*const Loop) -> u64,
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    close: unsafe extern "C" fn(*mut Handle, Option<OnTimer>),
    timer_init: unsafe extern "C" fn(*mut Loop, *mut Handle) -> c_int,
    timer_start: unsafe extern "C" fn(*mut Handle, OnTimer, u64, u64) -> c_int,
    timer_stop: unsafe extern "C" fn(*mut Handle) -> c_int,
    poll_init: unsafe extern "C" fn(*mut Loop, *mut Handle, c_int) -> c_int,
    poll_start: unsafe extern "C" fn(*mut Handle, c_int, OnPoll) -> c_int,
    poll_stop: unsafe extern "C" fn(*mut Handle) -> c_int,
}

impl Api {
    fn find(library: &'static Library) -> Result<Self> {
        // SAFETY: each symbol is a function of this type in libuv 1, and the library is never closed.
        unsafe {
            Ok(Self {
                loop_size: *library.get(b"uv_loop_size\0")?,
                loop_init: *library.get(b"uv_loop_init\0")?,
                loop_close: *library.get(b"uv_loop_close\0")?,
                run: *library.get(b"uv_run\0")?,
                now: *library.get(b"uv_now\0")?,
                handle_size: *library.get(b"uv_handle_size\0")?,
                close: *library.get(b"uv_close\0")?,
                timer_init: *library.get(b"uv_timer_init\0")?,
                timer_start: *library.get(b"uv_timer_start\0")?,
                timer_stop: *library.get(b"uv_timer_stop\0")?,
                poll_init: *library.get(b"uv_poll_init\0")?,
                poll_start: *library.get(b"uv_poll_start\0")?,
                poll_stop: *library.get(b"uv_poll_stop\0")?,
            })
        }
    }
}

/// The library; `None`, said aloud once, if it cannot be had.
fn api() -> Option<&'static Api> {
    static API: OnceLock<Option<Api>> = OnceLock::new();
    API.get_or_init(|| library::open("libuv", "libuv.so.1", "libuv1", Api::find)).as_ref()
}

/// Whether it can be had.
pub(crate) fn is_here() -> bool {
    api().is_some()
}

/// Zero, or an error of libuv.
fn check(what: &str, outcome: c_int) -> Result<()> {
    if outcome == 0 {
        return Ok(());
    }
    // They are the negative numbers of the system.
    Err(format!("{what}: {}", std::io::Error::from_raw_os_error(-outcome)).into())
}

/// As C aligns what it knows nothing of.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Block([u8; 16]);

/// Memory for so many structures of so many bytes, which never moves.
struct Room {
    start: NonNull<Block>,
    blocks_each: usize,
    count: usize,
}

impl Room {
    fn new(bytes_each: usize, count: usize) -> Self {
        let blocks_each = bytes_each.div_ceil(size_of::<Block>());
        let blocks = vec![Block([0; 16]); blocks_each * count].into_boxed_slice();
        Self { start: NonNull::from(Box::leak(blocks)).cast(), blocks_each, count }
    }

    #[inline]
    fn place<T>(&self, place: usize) -> *mut T {
        assert!(place < self.count, "there is no such handle");
        // SAFETY: within the memory, which has `count` times `blocks_each`.
        unsafe { self.start.add(place * self.blocks_each) }.as_ptr().cast()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let blocks =
            std::ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.blocks_each * self.count);
        // SAFETY: the slice that `new` leaked; who has room sees to it that libuv does not work there any more.
        drop(unsafe { Box::from_raw(blocks) });
    }
}

/// A loop with handles of one type. `D` is what callbacks note things in.
struct Uv<D> {
    api: &'static Api,
    uv: Room,
    /// Handles, of which the first `open` are libuv's.
    handles: Room,
    open: usize,
    noted: Rc<RefCell<D>>,
}

impl<D: Default> Uv<D> {
    fn new(kind: c_int, handles: usize) -> Result<Self> {
        let api = api().ok_or("libuv is not installed")?;
        // SAFETY: both functions only return a number.
        let (loop_bytes, bytes) = unsafe { ((api.loop_size)(), (api.handle_size)(kind)) };
        let (uv, handles) = (Room::new(loop_bytes, 1), Room::new(bytes, handles));
        let new = Self { api, uv, handles, open: 0, noted: Rc::default() };
        // SAFETY: memory of the size of a loop, that stays where it is until the loop is closed.
        let outcome = unsafe { (api.loop_init)(new.uv.place(0)) };
        if let Err(error) = check("uv_loop_init", outcome) {
            // There is no loop to be closed.
            std::mem::forget(new);
            return Err(error);
        }
        // SAFETY: a loop begins with its data, which is the program's.
        unsafe { (*new.uv.place::<Loop>(0)).data = Rc::as_ptr(&new.noted).cast_mut().cast() };
        Ok(new)
    }

    /// Makes the next handle libuv's, by `init`, with its place as its data.
    fn init(&mut self, init: impl FnOnce(*mut Loop, *mut Handle) -> c_int) -> Result<*mut Handle> {
        let handle: *mut Handle = self.handles.place(self.open);
        check("a handle", init(self.uv.place(0), handle))?;
        // SAFETY: a handle begins with its data, which is the program's.
        unsafe { (*handle).data = std::ptr::without_provenance_mut(self.open) };
        self.open += 1;
        Ok(handle)
    }

    /// Lets callbacks note what they are told in `noted`.
    fn run(&mut self, mode: c_int, noted: &mut D) {
        std::mem::swap(noted, &mut self.noted.borrow_mut());
        // SAFETY: the loop lives, is this thread's alone, and does not run already: no callback runs it.
        unsafe { (self.api.run)(self.uv.place(0), mode) };
        std::mem::swap(noted, &mut self.noted.borrow_mut());
    }

    /// Closes all handles: when this returns, none is libuv's.
    fn close(&mut self) {
        for place in 0..std::mem::take(&mut self.open) {
            // SAFETY: the handle was made libuv's, and is not closing yet.
            unsafe { (self.api.close)(self.handles.place(place), None) };
        }
        // SAFETY: as in `run`. It takes handles that close out of its lists, and has none that waits for anything.
        unsafe { (self.api.run)(self.uv.place(0), UV_RUN_DEFAULT) };
    }
}

impl<D> Drop for Uv<D> {
    fn drop(&mut self) {
        for place in 0..self.open {
            // SAFETY: as in `close`.
            unsafe { (self.api.close)(self.handles.place(place), None) };
        }
        // SAFETY: as in `close`; after it the loop has no handle.
        let outcome = unsafe {
            (self.api.run)(self.uv.place(0), UV_RUN_DEFAULT);
            (self.api.loop_close)(self.uv.place(0))
        };
        assert_eq!(outcome, 0, "a loop without handles can be closed");
    }
}

/// Notes the place of a handle.
///
/// # Safety
/// For callbacks only, with their handle, of a loop whose `Uv` has this `D`.
unsafe fn noted<'a, D>(handle: *mut Handle) -> (usize, &'a RefCell<D>) {
    // SAFETY: libuv calls with a handle of `Uv`, whose data is its place, and the data of whose loop is what
    // `Uv::noted` points to and lives as long as the loop.
    unsafe { ((*handle).data.addr(), &*(*(*handle).of).data.cast::<RefCell<D>>()) }
}

/// Timers: a handle for each, made once, started and stopped.
pub(crate) struct UvTimers(Uv<Vec<u32>>);

unsafe extern "C" fn fired(handle: *mut Handle) {
    // SAFETY: a timer of `UvTimers`.
    let (token, fired) = unsafe { noted::<Vec<u32>>(handle) };
    fired.borrow_mut().push(token as u32);
}

impl Timers for UvTimers {
    type Id = u32;

    fn new(live: usize) -> Result<Self> {
        let mut uv = Uv::new(UV_TIMER, live)?;
        let api = uv.api;
        for _ in 0..live {
            // SAFETY: a loop that lives, and memory of the size of a timer that stays until it is closed.
            uv.init(|uv, handle| unsafe { (api.timer_init)(uv, handle) })?;
        }
        Ok(Self(uv))
    }

    #[inline]
    fn add(&mut self, token: u32, deadline_ns: u64) -> Result<u32> {
        let Uv { api, uv, handles, .. } = &self.0;
        // Both clocks are CLOCK_MONOTONIC; a timer that is due between two milliseconds is due at the second.
        let deadline_ms = deadline_ns.div_ceil(1_000_000);
        // SAFETY: the loop lives, and the handle is a timer of it.
        let outcome = unsafe {
            let after_ms = deadline_ms.saturating_sub((api.now)(uv.place(0)));
            (api.timer_start)(handles.place(token as usize), fired, after_ms, 0)
        };
        check("uv_timer_start", outcome)?;
        Ok(token)
    }

    #[inline]
    fn cancel(&mut self, token: u32) -> Result<bool> {
        // SAFETY: the handle is a timer of a loop that lives.
        Ok(unsafe { (self.0.api.timer_stop)(self.0.handles.place(token as usize)) } == 0)
    }

    fn fire(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        self.0.run(UV_RUN_NOWAIT, fired);
        Ok(())
    }

    fn wait(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        self.0.run(UV_RUN_ONCE, fired);
        Ok(())
    }
}

/// Descriptors: a handle for each.
pub(crate) struct UvPoll(Option<Uv<Seen>>);

unsafe extern "C" fn ready(handle: *mut Handle, status: c_int, events: c_int) {
    // SAFETY: a polled descriptor of `UvPoll`.
    let (place, seen) = unsafe { noted::<Seen>(handle) };
    seen.borrow_mut().note(place as u64, status == 0 && events & UV_READABLE != 0);
}

impl Readiness for UvPoll {
    fn new(trigger: Trigger) -> Result<Self> {
        match trigger {
            Trigger::Edge => Err("libuv has no edges".into()),
            Trigger::Level => Ok(Self(None)),
        }
    }

    fn arm(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        let uv = match &mut self.0 {
            Some(uv) if uv.handles.count >= descriptors.len() => uv,
            none => none.insert(Uv::new(UV_POLL, descriptors.len())?),
        };
        let api = uv.api;
        for descriptor in descriptors {
            let number = descriptor.as_raw_fd();
            // SAFETY: a loop that lives, and memory of the size of a polled descriptor that stays until it is
            // closed. The table holds the descriptor for as long.
            let handle = uv.init(|uv, handle| unsafe { (api.poll_init)(uv, handle, number) })?;
            // SAFETY: the handle was made just now.
            check("uv_poll_start", unsafe { (api.poll_start)(handle, UV_READABLE, ready) })?;
        }
        // It tells the kernel when it waits.
        let mut none = Seen::default();
        uv.run(UV_RUN_NOWAIT, &mut none);
        if none.drain().next().is_some() { Err("it was ready too early".into()) } else { Ok(()) }
    }

    fn reap(&mut self, seen: &mut Seen) -> Result<()> {
        self.0.as_mut().ok_or("nothing is watched")?.run(UV_RUN_NOWAIT, seen);
        Ok(())
    }

    fn remove(&mut self, _descriptors: &[Descriptor]) -> Result<()> {
        let uv = self.0.as_mut().ok_or("nothing is watched")?;
        for place in 0..uv.open {
            // SAFETY: the handle is a polled descriptor of a loop that lives.
            check("uv_poll_stop", unsafe { (uv.api.poll_stop)(uv.handles.place(place)) })?;
        }
        uv.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{UvPoll, UvTimers, is_here};
    use rustix::event::{EventfdFlags, eventfd};
    use std::io::Write;
    use std::sync::Arc;
    use ukevent_bench::tables::ready::{Readiness, Seen, Trigger};
    use ukevent_bench::tables::timers::Timers;
    use ukevent_measure::clock::now_ns;

    fn is_skipped() -> bool {
        if !is_here() {
            // Past the test runner, which keeps what a test that passed has printed.
            writeln!(std::io::stderr(), "SKIPPED: libuv is not installed").unwrap();
        }
        !is_here()
    }

    #[test]
    fn what_is_due_fires_once_and_what_was_cancelled_does_not() {
        if is_skipped() {
            return;
        }
        let mut timers = UvTimers::new(4).unwrap();
        let soon_ns = now_ns() + 1_000_000;
        timers.add(3, soon_ns).unwrap();
        timers.add(1, soon_ns + 3_000_000).unwrap();
        let cancelled = timers.add(0, soon_ns + 1_000_000).unwrap();
        timers.add(2, u64::MAX).unwrap();
        assert!(timers.cancel(cancelled).unwrap());
        let mut fired = Vec::new();
        while fired.len() < 2 {
            timers.wait(&mut fired).unwrap();
            assert!(now_ns() >= soon_ns, "before its time");
        }
        assert!(now_ns() >= soon_ns + 3_000_000, "before its time");
        timers.fire(&mut fired).unwrap();
        assert_eq!(fired, [3, 1]);
    }

    #[test]
    fn a_level_comes_again_and_nothing_after_removal() {
        if is_skipped() {
            return;
        }
        let descriptors: Vec<_> = (0..3)
            .map(|_| Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap()))
            .collect();
        let reaped = |uv: &mut UvPoll| {
            let mut seen = Seen::default();
            uv.reap(&mut seen).unwrap();
            seen.drain().collect::<Vec<_>>()
        };
        let mut uv = UvPoll::new(Trigger::Level).unwrap();
        for _ in 0..2 {
            uv.arm(&descriptors).unwrap();
            assert!(reaped(&mut uv).is_empty());
            rustix::io::write(&descriptors[1], &1_u64.to_ne_bytes()).unwrap();
            assert_eq!((reaped(&mut uv), reaped(&mut uv)), (vec![1], vec![1]));
            uv.remove(&descriptors).unwrap();
            assert!(reaped(&mut uv).is_empty());
            rustix::io::read(&descriptors[1], &mut [0; 8]).unwrap();
        }
    }
}
