//! libevent: an event for each descriptor, and a callback that notes it; edges or levels of epoll.
//!
//! Its shared library is opened at run time. Declarations are those of `event2/event.h` of libevent 2.1, whose
//! version is in the library's name.
#![allow(unsafe_code, reason = "the functions of libevent are C")]

use super::library;
use libloading::Library;
use std::cell::{OnceCell, RefCell};
use std::ffi::{c_int, c_short, c_void};
use std::os::fd::AsRawFd;
use std::ptr::{NonNull, null, null_mut};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;
use ukevent_bench::tables::events::{PATIENCE, Tells};
use ukevent_bench::tables::ready::{Descriptor, Readiness, Seen, Trigger};
use ukevent_measure::Result;

const EV_READ: c_short = 0x02;
const EV_PERSIST: c_short = 0x10;
const EV_ET: c_short = 0x20;
const EVLOOP_ONCE: c_int = 0x01;
const EVLOOP_NONBLOCK: c_int = 0x02;

/// `struct event_base` and `struct event`, of which only libevent knows what they are.
#[repr(C)]
struct EventBase([u8; 0]);
#[repr(C)]
struct Event([u8; 0]);

type Callback = unsafe extern "C" fn(c_int, c_short, *mut c_void);

struct Api {
    base_new: unsafe extern "C" fn() -> *mut EventBase,
    base_free: unsafe extern "C" fn(*mut EventBase),
    base_loop: unsafe extern "C" fn(*mut EventBase, c_int) -> c_int,
    event_new:
        unsafe extern "C" fn(*mut EventBase, c_int, c_short, Callback, *mut c_void) -> *mut Event,
    event_add: unsafe extern "C" fn(*mut Event, *const libc::timeval) -> c_int,
    event_del: unsafe extern "C" fn(*mut Event) -> c_int,
    event_free: unsafe extern "C" fn(*mut Event),
}

impl Api {
    fn find(library: &'static Library) -> Result<Self> {
        // SAFETY: each symbol is a function of this type in libevent 2.1, and the library is never closed.
        unsafe {
            Ok(Self {
                base_new: *library.get(b"event_base_new\0")?,
                base_free: *library.get(b"event_base_free\0")?,
                base_loop: *library.get(b"event_base_loop\0")?,
                event_new: *library.get(b"event_new\0")?,
                event_add: *library.get(b"event_add\0")?,
                event_del: *library.get(b"event_del\0")?,
                event_free: *library.get(b"event_free\0")?,
            })
        }
    }
}

/// The library; `None`, said aloud once, if it cannot be had.
fn api() -> Option<&'static Api> {
    static API: OnceLock<Option<Api>> = OnceLock::new();
    let open =
        || library::open("libevent", "libevent_core-2.1.so.7", "libevent-core-2.1-7", Api::find);
    API.get_or_init(open).as_ref()
}

/// Whether it can be had.
pub(crate) fn is_here() -> bool {
    api().is_some()
}

/// What a callback is given.
struct Slot {
    place: u64,
    seen: Rc<RefCell<Seen>>,
}

pub(crate) struct Libevent {
    api: &'static Api,
    base: NonNull<EventBase>,
    /// With the slots that their callbacks are given, which outlive them.
    events: Vec<(NonNull<Event>, Rc<Slot>)>,
    seen: Rc<RefCell<Seen>>,
    flags: c_short,
    /// Goes off again and again, so that no wait is longer than this.
    patience: OnceCell<NonNull<Event>>,
}

/// The callback of a descriptor.
unsafe extern "C" fn note(_: c_int, what: c_short, slot: *mut c_void) {
    // SAFETY: the slot that the event was made with, which is freed after the event, on this thread.
    let slot = unsafe { &*slot.cast::<Slot>() };
    slot.seen.borrow_mut().note(slot.place, what & EV_READ != 0);
}

/// That of the patience.
unsafe extern "C" fn look_up(_: c_int, _: c_short, _: *mut c_void) {}

impl Libevent {
    /// One turn of the loop. Callbacks note what they are told in `seen`.
    fn turn(&mut self, flags: c_int, seen: &mut Seen) -> Result<()> {
        std::mem::swap(seen, &mut self.seen.borrow_mut());
        // SAFETY: the base lives, is this thread's alone, and does not run already: no callback runs it.
        let outcome = unsafe { (self.api.base_loop)(self.base.as_ptr(), flags) };
        std::mem::swap(seen, &mut self.seen.borrow_mut());
        // 1 says that no event is watched any more.
        if outcome < 0 { Err("event_base_loop failed".into()) } else { Ok(()) }
    }

    /// An event that is watched for.
    fn add(
        &self,
        number: c_int,
        flags: c_short,
        callback: Callback,
        argument: *mut c_void,
        time_out: Option<&libc::timeval>,
    ) -> Result<NonNull<Event>> {
        // SAFETY: the base lives, and is freed after all events; the argument is one that the callback takes,
        // and lives as long as the event.
        let event =
            unsafe { (self.api.event_new)(self.base.as_ptr(), number, flags, callback, argument) };
        let event = NonNull::new(event).ok_or("event_new failed")?;
        let time_out = time_out.map_or(null(), std::ptr::from_ref);
        // SAFETY: the event was made just now; the time is read before the call returns.
        match unsafe { (self.api.event_add)(event.as_ptr(), time_out) } {
            0 => Ok(event),
            _ => {
                // SAFETY: nobody has the event but this function.
                unsafe { (self.api.event_free)(event.as_ptr()) };
                Err("event_add failed".into())
            }
        }
    }
}

impl Readiness for Libevent {
    fn new(trigger: Trigger) -> Result<Self> {
        let api = api().ok_or("libevent is not installed")?;
        // SAFETY: it needs nothing.
        let base = NonNull::new(unsafe { (api.base_new)() }).ok_or("event_base_new failed")?;
        let flags = match trigger {
            Trigger::Edge => EV_READ | EV_PERSIST | EV_ET,
            Trigger::Level => EV_READ | EV_PERSIST,
        };
        let (events, seen, patience) = (Vec::new(), Rc::default(), OnceCell::new());
        Ok(Self { api, base, events, seen, flags, patience })
    }

    fn arm(&mut self, descriptors: &[Descriptor]) -> Result<()> {
        self.events.reserve(descriptors.len());
        for (place, descriptor) in (0..).zip(descriptors) {
            let slot = Rc::new(Slot { place, seen: self.seen.clone() });
            let argument = Rc::as_ptr(&slot).cast_mut().cast();
            let event = self.add(descriptor.as_raw_fd(), self.flags, note, argument, None)?;
            self.events.push((event, slot));
        }
        Ok(())
    }

    fn reap(&mut self, seen: &mut Seen) -> Result<()> {
        self.turn(EVLOOP_ONCE | EVLOOP_NONBLOCK, seen)
    }

    fn remove(&mut self, _descriptors: &[Descriptor]) -> Result<()> {
        let mut is_removed = true;
        for (event, slot) in self.events.drain(..) {
            // SAFETY: the event was added and not freed, and is not used after this; its slot goes after it.
            unsafe {
                is_removed &= (self.api.event_del)(event.as_ptr()) == 0;
                (self.api.event_free)(event.as_ptr());
            }
            drop(slot);
        }
        if is_removed { Ok(()) } else { Err("event_del failed".into()) }
    }
}

impl Tells for Libevent {
    fn reap_within(&mut self, patience: Duration, seen: &mut Seen) -> Result<()> {
        // A wait has no limit of its own.
        if self.patience.get().is_none() {
            debug_assert_eq!(patience, PATIENCE);
            let tv_usec = patience.subsec_micros().into();
            let time = libc::timeval { tv_sec: patience.as_secs().try_into()?, tv_usec };
            let event = self.add(-1, EV_PERSIST, look_up, null_mut(), Some(&time))?;
            let _ = self.patience.set(event);
        }
        self.turn(EVLOOP_ONCE, seen)
    }
}

impl Drop for Libevent {
    fn drop(&mut self) {
        let patience = self.patience.take();
        // Freeing removes; a failure has been told before.
        let _ = self.remove(&[]);
        // SAFETY: the event of the patience, if there is one, was not freed; after it no event of the base
        // is left, and the base is not used after this.
        unsafe {
            if let Some(event) = patience {
                (self.api.event_free)(event.as_ptr());
            }
            (self.api.base_free)(self.base.as_ptr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Libevent, is_here};
    use rustix::event::{EventfdFlags, eventfd};
    use std::io::Write;
    use std::sync::Arc;
    use std::time::Duration;
    use ukevent_bench::tables::events::Tells;
    use ukevent_bench::tables::ready::{Readiness, Seen, Trigger};

    fn reaped(libevent: &mut Libevent) -> Vec<usize> {
        let mut seen = Seen::default();
        libevent.reap(&mut seen).unwrap();
        seen.drain().collect()
    }

    #[test]
    fn an_edge_comes_once_a_level_again_and_nothing_after_removal() {
        if !is_here() {
            // Past the test runner, which keeps what a test that passed has printed.
            writeln!(std::io::stderr(), "SKIPPED: libevent is not installed").unwrap();
            return;
        }
        for (trigger, again) in [(Trigger::Edge, vec![]), (Trigger::Level, vec![1])] {
            let descriptors: Vec<_> = (0..3)
                .map(|_| {
                    Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap())
                })
                .collect();
            let mut libevent = Libevent::new(trigger).unwrap();
            libevent.arm(&descriptors).unwrap();
            assert!(reaped(&mut libevent).is_empty());
            rustix::io::write(&descriptors[1], &1_u64.to_ne_bytes()).unwrap();
            let mut seen = Seen::default();
            libevent.reap_within(Duration::from_secs(1), &mut seen).unwrap();
            assert_eq!(seen.drain().collect::<Vec<_>>(), [1]);
            assert_eq!(reaped(&mut libevent), again);
            libevent.remove(&descriptors).unwrap();
            rustix::io::write(&descriptors[2], &1_u64.to_ne_bytes()).unwrap();
            assert!(reaped(&mut libevent).is_empty());
        }
    }
}
