//! Operations: what they do, in which order, and that nothing they were lent is lost.

mod connections;
mod ends;
mod files;
mod messages;
mod paths;
mod pieces;
mod receives;
mod sendfile;
mod sends;
mod zero;

use crate::bench::{PATIENCE, batch, patient, wait};
use crate::subject::Queue;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use ukevent_buf::{Buffer, FramePool};
use ukevent_queue::{Completed, Event, Fd, Key, Kind, Mode, Token, Wait};

const EPIPE: i32 = 32;
const ENOTSOCK: i32 = 88;
const ETIMEDOUT: i32 = 110;
const ECONNREFUSED: i32 = 111;
const ECANCELED: i32 = 125;

/// Registers it for operations to name.
fn own<T: AsFd + Send + 'static>(queue: &mut Queue, owner: T) -> Key {
    queue.register(Fd::new(owner).unwatched(), Token(99), Mode::Level).unwrap()
}

fn buffer(bytes: &[u8]) -> Buffer {
    Buffer::from(bytes.to_vec())
}

fn completed(event: Event) -> Completed {
    match event.kind {
        Kind::Completed(completed) => completed,
        other => panic!("{:?}: {other:?}", event.token),
    }
}

/// The next event of this token; others are dropped.
#[track_caller]
fn done(queue: &mut Queue, token: Token) -> Completed {
    done_of(queue, token, &mut |_, _| {})
}

/// The same; others are shown.
#[track_caller]
fn done_of(queue: &mut Queue, token: Token, others: &mut dyn FnMut(Token, Completed)) -> Completed {
    loop {
        if let Some(event) = queue.next_event() {
            if event.token == token {
                return completed(event);
            }
            if let Kind::Completed(completed) = event.kind {
                others(event.token, completed);
            }
            continue;
        }
        let events = wait(queue, patient()).unwrap();
        assert!(events > 0, "nothing came of {token:?}: {queue:?}");
    }
}

#[track_caller]
fn bytes(completed: Completed) -> Vec<u8> {
    assert!(completed.result.is_ok(), "{completed:?}");
    completed.into_buffer().expect("a buffer comes back").to_vec()
}

#[track_caller]
fn errno(completed: &Completed) -> i32 {
    completed.result.expect_err("it fails").0
}

fn pair(queue: &mut Queue) -> (Key, UnixStream) {
    let (own_end, peer) = UnixStream::pair().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (own(queue, own_end), peer)
}

fn unconnected() -> OwnedFd {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

/// A pool that wakes the queue.
fn pool(queue: &Queue, frames: u32) -> Arc<FramePool> {
    let arena = crate::bench::arena(1 << 20);
    let builder = FramePool::builder(frames, 4096).waker(queue.room_waker());
    Arc::new(builder.build(&arena).unwrap())
}

/// How many of its frames are out.
fn in_use(pool: &FramePool) -> u32 {
    let statistics = pool.statistics().unwrap();
    statistics.frames - statistics.free
}

fn done_any(queue: &mut Queue) -> Completed {
    loop {
        match queue.next_event() {
            Some(event) => return completed(event),
            None => assert!(wait(queue, patient()).unwrap() > 0),
        }
    }
}

fn drop_what_came(queue: &mut Queue) {
    drop(batch(queue, Wait::now()));
}
