//! One queue for all threads of a server: where those wait whom no thread has yet.
//!
//! Each thread keeps its runtime, with a queue of its own and in it the connections that it works on. Beside it there
//! is one [`SharedQueue`], in which every listening socket is, once. A task of each thread watches it
//! ([`House::attend`]), by the descriptor that a [`Waiter`] has for that. So who comes goes to a thread that has time
//! to look: one that works on something long does not look, and takes nobody.
//!
//! A listener is watched by its level: whoever gets its event accepts one connection and lets go, and if there is
//! another one the event comes again, to whoever looks first. Between two events a thread lets its other tasks have
//! their turn.
//!
//! Connections that rest are in it, too, and on no thread ([`lot`]): the next request is for whoever has time.
//! Those with TLS stay where they are, for what is kept of their session is the thread's.
//!
//! Invariants. No event is taken and left: who has no room for a connection, or no descriptor, disables the doors for
//! all threads, which is the same for all of them, as bounds are of all together; they are enabled again when a
//! connection of any thread leaves, or after a while ([`Doors`]). So nothing asks again and again.

mod lot;

use super::{
    super::{House, Server, StartError, accept::PAUSE},
    Vital,
};
use crate::{connection::wire::shut_socket, whole::Whole};
use lot::{ALARM, Lot};
use rustix::{
    io::Errno,
    net::{SocketFlags, accept_with},
};
use std::{
    os::fd::OwnedFd,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering, fence},
    },
};
use ukevent_queue::{
    Event, Fd, Key, Kind, Mode, Readiness, RegisterError, Removed, SharedQueue, Timer, Token, Wait,
    WaitError, Waiter,
};
use ukevent_task::{Registered, look, yield_now};

/// The token of the timer that opens the doors again. Those of the doors are their places in the list.
const REOPEN: Token = Token(u64::MAX);

/// A listening socket of all threads.
#[derive(Debug)]
pub(in super::super) struct Entrance {
    pub(in super::super) socket: Arc<OwnedFd>,
    /// It speaks TLS.
    pub(in super::super) secure: bool,
    /// The server made it: nobody else listens on it.
    pub(in super::super) is_ours: bool,
}

/// The queue of all threads, and what is in it.
#[derive(Debug)]
pub(in super::super) struct Lobby {
    queue: SharedQueue,
    doors: Mutex<Doors>,
    /// The same as in there, to be read without the lock.
    are_shut: AtomicBool,
    /// Connections that rest.
    lot: Mutex<Lot>,
    whole: Arc<Whole>,
}

/// The registrations of the listeners.
#[derive(Debug)]
struct Doors {
    keys: Vec<Key>,
    /// They are disabled: nobody is let in.
    are_shut: bool,
}

/// The queue of all threads with its listeners. Cheap to clone.
#[derive(Clone, Debug)]
pub(in super::super) struct Access {
    pub(in super::super) lobby: Arc<Lobby>,
    entrances: Arc<[Entrance]>,
}

impl Access {
    /// Makes the queue.
    pub(in super::super) fn new(
        entrances: Vec<Entrance>,
        whole: &Arc<Whole>,
    ) -> Result<Self, StartError> {
        let queue = SharedQueue::new().map_err(StartError::Queue)?;
        let _ = whole.shared_queue.set(queue.clone());
        let lobby = Arc::new(Lobby::new(queue, &entrances, Arc::clone(whole))?);
        Ok(Self { lobby, entrances: entrances.into() })
    }
}

/// What one thread needs to take from the queue of all.
#[derive(Debug)]
pub(in super::super) struct Attendant {
    lobby: Arc<Lobby>,
    entrances: Arc<[Entrance]>,
    waiter: Waiter,
    /// Readable if there is anything for the waiter.
    watched: Registered,
}

impl Lobby {
    /// With these listeners, by their places.
    fn new(
        queue: SharedQueue,
        entrances: &[Entrance],
        whole: Arc<Whole>,
    ) -> Result<Self, RegisterError> {
        let register = |(place, entrance): (u64, &Entrance)| {
            queue.register(Fd::new(Arc::clone(&entrance.socket)), Token(place), Mode::Level)
        };
        let keys = (0..).zip(entrances).map(register).collect::<Result<_, _>>()?;
        let doors = Mutex::new(Doors { keys, are_shut: false });
        let (are_shut, lot) = (AtomicBool::new(false), Mutex::default());
        Ok(Self { queue, doors, are_shut, lot, whole })
    }

    /// Lets nobody in any more, on any thread, while that is so. If nothing else will say that it is over, only for a
    /// while.
    fn shut_doors(&self, for_a_while: bool, is_so: impl FnOnce() -> bool) {
        let mut doors = lock(&self.doors);
        if !std::mem::replace(&mut doors.are_shut, true) {
            for &key in &doors.keys {
                // It is registered until the end.
                let _ = self.queue.disable(key);
            }
            if for_a_while
                && self.queue.register(Timer::after(PAUSE), REOPEN, Mode::OneShot).is_err()
            {
                // Without a timer there is no pause.
                self.open_again(&mut doors);
                return;
            }
            self.are_shut.store(true, Ordering::Relaxed);
        }
        drop(doors);
        // One that left before the doors were shut has not opened them: one of both sees what the other did.
        fence(Ordering::SeqCst);
        if !is_so() {
            self.open_doors();
        }
    }

    /// Lets in whoever comes, after a connection has left or a while has passed. A word is read if the doors are
    /// open.
    pub(in super::super) fn open_doors(&self) {
        fence(Ordering::SeqCst);
        if self.are_shut.load(Ordering::Relaxed) {
            let mut doors = lock(&self.doors);
            if doors.are_shut {
                self.open_again(&mut doors);
            }
        }
    }

    fn open_again(&self, doors: &mut Doors) {
        doors.are_shut = false;
        self.are_shut.store(false, Ordering::Relaxed);
        for &key in &doors.keys {
            // The same.
            let _ = self.queue.enable(key);
        }
    }

    /// Nobody comes there any more.
    fn remove_door(&self, key: Key) {
        lock(&self.doors).keys.retain(|&door| door != key);
        // The same.
        drop(self.queue.remove(key));
    }

    /// Lets nobody in any more.
    fn remove_doors(&self) {
        for key in std::mem::take(&mut lock(&self.doors).keys) {
            // The same.
            drop(self.queue.remove(key));
        }
    }

    /// Ends it for all threads: what is registered, the queue lets go of.
    pub(in super::super) fn close(&self) {
        self.remove_doors();
        drop(self.end_rest());
    }
}

impl Attendant {
    /// Of the thread that this runs on.
    #[track_caller]
    pub(in super::super) fn new(access: Access) -> Result<Self, RegisterError> {
        let Access { lobby, entrances } = access;
        let mut waiter = lobby.queue.waiter().map_err(|_| RegisterError::WrongThread)?;
        let watched = Registered::new(waiter.descriptor()?)?;
        Ok(Self { lobby, entrances, waiter, watched })
    }
}

impl Server {
    /// Ends the queue that all threads share, if there is one and this is the first of them, which ends last.
    pub(in super::super) fn close_lobby(&self) {
        if self.house.number == 0 {
            self.house.seats.lobby().into_iter().for_each(Lobby::close);
        }
    }
}

impl House {
    /// Takes whoever waits for a thread, until the server ends; then those who have come already, as far as there is
    /// room for them.
    pub(in super::super) async fn attend(self: Rc<Self>, mut attendant: Attendant) {
        let _vital = Vital(Rc::clone(&self));
        while !self.shared.is_ending() {
            let ending = self.ending.rung();
            match crate::race::unless(attendant.watched.readable(), ending).await {
                Some(Ok(_)) => self.take_all(&mut attendant).await,
                // There is no room in the thread's own queue.
                Some(Err(_)) => self.wait_a_while().await,
                None => {}
            }
        }
        loop {
            look().await;
            let accepted = self.shared.tally().accepted.value();
            self.take_all(&mut attendant).await;
            for entrance in attendant.entrances.iter() {
                // What others hold an event of is not told, and may be more than they take.
                while !self.is_crowded()
                    && let Ok(socket) = accept(&entrance.socket)
                {
                    self.welcome(socket, entrance.secure);
                }
            }
            if self.shared.tally().accepted.value() == accepted {
                break;
            }
        }
        // From here on nobody can connect, to no thread: whoever is first here has taken all. What no longer listens
        // would be told of again and again.
        attendant.lobby.remove_doors();
        attendant.entrances.iter().filter(|it| it.is_ours).for_each(|it| shut_socket(&it.socket));
        for (ends_ns, guest, socket) in attendant.lobby.end_rest() {
            self.take_up(socket, guest, ends_ns);
        }
    }

    /// Takes events until there are none, one after the other.
    async fn take_all(&self, attendant: &mut Attendant) {
        loop {
            match attendant.waiter.wait(Wait::now().at_most(1)) {
                Ok(0) => return,
                Ok(_) | Err(WaitError::Interrupted) => {}
                Err(_) => return self.wait_a_while().await,
            }
            // Another one may have been faster.
            if let Some(event) = attendant.waiter.next_event() {
                self.shared.tally().taken.add(1);
                self.handle(&event, attendant);
                // Lets go of it.
                let more = attendant.waiter.next_event();
                debug_assert!(more.is_none(), "one at a time");
            }
            yield_now().await;
        }
    }

    fn handle(&self, event: &Event, attendant: &mut Attendant) {
        let Attendant { lobby, entrances, waiter, .. } = attendant;
        match event.token {
            REOPEN => return lobby.open_doors(),
            ALARM => {
                return lobby.close_due().into_iter().for_each(|(ends_ns, guest, socket)| {
                    self.take_up(socket, guest, ends_ns);
                });
            }
            _ => {}
        }
        let place = usize::try_from(event.token.0).ok();
        if let Some(entrance) = place.and_then(|place| entrances.get(place)) {
            return self.let_in_one(entrance, lobby, event);
        }
        let socket = waiter.take_spent().and_then(Removed::downcast);
        if let Some((socket, guest)) = socket.zip(lobby.claim(event.token)) {
            self.take_up(socket, guest, event.token.0);
        }
    }

    /// Lets in one who has come.
    fn let_in_one(&self, entrance: &Entrance, lobby: &Lobby, seen: &Event) {
        if self.is_crowded() {
            self.shared.tally().pauses.add(1);
            return lobby.shut_doors(false, || self.is_crowded());
        }
        match accept(&entrance.socket) {
            Ok(socket) => self.welcome(socket, entrance.secure),
            Err(_) if is_shut(seen) => {
                self.shared.tally().pauses.add(1);
                lobby.remove_door(seen.key);
            }
            Err(error) if self.cannot_go_on(error) => {
                self.shared.tally().pauses.add(1);
                lobby.shut_doors(true, || true);
            }
            // Who came is gone, or another one has him; or the next one can be had now.
            Err(_) => {}
        }
    }
}

/// Whether somebody shut it down that has it too. A Unix socket then says for ever that it is ready, and that nobody
/// has come.
const fn is_shut(seen: &Event) -> bool {
    matches!(seen.kind, Kind::Ready(ready) if ready.readiness.contains(Readiness::HANG_UP))
}

/// Accepts one connection: non-blocking and close-on-exec.
fn accept(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    accept_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change of what is in them is whole before anything can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
