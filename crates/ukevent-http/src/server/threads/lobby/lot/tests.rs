//! Who is due and who has asked.

use super::{
    super::{Doors, Lobby, lock},
    now_ns,
};
use crate::{connection::Resting, limits::Limits, whole::Whole};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, atomic::AtomicBool},
};
use ukevent_queue::SharedQueue;
use ukevent_task::block_on;

/// A lobby without doors, and what is counted.
fn lobby() -> (Lobby, Arc<Whole>) {
    let whole = Arc::new(Whole::new(2, &Limits::default()));
    let lobby = Lobby {
        queue: SharedQueue::new().unwrap(),
        doors: Mutex::new(Doors { keys: Vec::new(), are_shut: false }),
        are_shut: AtomicBool::new(false),
        lot: Mutex::default(),
        whole: Arc::clone(&whole),
    };
    (lobby, whole)
}

/// Lets in a connection that may rest until then, and gives its other side.
fn rests(lobby: &Lobby, whole: &Whole, ends_ns: u64) -> UnixStream {
    let (socket, client) = UnixStream::pair().unwrap();
    assert!(whole.enter());
    lobby.park(Resting { socket: socket.into(), peer: None, ends_ns }, None);
    client
}

/// Also if the timer was seen before what they sent.
#[test]
fn who_has_asked_in_time_is_not_closed() {
    block_on(async {
        let (lobby, whole) = lobby();
        // Of two that are due at the same time the second is named by the next nanosecond.
        let end = now_ns() - 1;
        let mut asking = rests(&lobby, &whole, end);
        let mut silent = rests(&lobby, &whole, end);
        let mut later = rests(&lobby, &whole, u64::MAX);
        asking.write_all(b"GET").unwrap();
        let due = lobby.close_due();
        let ends: Vec<_> = due.iter().map(|(end, ..)| *end).collect();
        assert_eq!(ends, [end], "who has asked is given back");
        assert_eq!(whole.parked(), 2, "and who is not due is there");
        assert_eq!(lock(&lobby.lot).by_end.len(), 1);
        silent.set_nonblocking(true).unwrap();
        assert_eq!(silent.read(&mut [0]).unwrap(), 0, "the silent one is closed");
        later.set_nonblocking(true).unwrap();
        assert!(later.read(&mut [0]).is_err(), "that one is not");
        drop(due);
        assert_eq!(whole.parked(), 1);
    })
    .unwrap();
}
