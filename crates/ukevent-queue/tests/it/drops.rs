//! The end of a queue with everything in flight at once: it does not hang, what was lent comes home,
//! and the kernel neither writes into that memory nor sends from it any more.
//!
//! No sanitizer sees what the kernel does, so the memory is looked at: every frame of the pool is taken
//! again and filled, and so is heap of the sizes that were lent, which the allocator gives out again
//! (under AddressSanitizer it does not; the frames are the same). Then the peers write, into sockets
//! that are open yet. What is filled must stay as it is until the last round is over, and what a peer
//! was sent, or a file written, must be of the bytes that were lent. Rounds differ by seed. The simulation
//! is not among the backends: it has no kernel, and no memory but the program's.

use crate::bench::{A, Bench, arena, wait, watched, while_busy};
use crate::subject::Queue;
use rustix::fs::OFlags;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, listen, socket_with,
    sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size},
};
use std::{
    fs::File,
    io::{Read, Seek, Write},
    net::SocketAddr,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};
use testkit::Rng;
use ukevent_buf::{Buffer, FramePool};
use ukevent_queue::{Fd, Interest, Key, Mode, Operation, Timer, Wait};

cases! {
    kernels: [
        whatever_is_in_flight_the_kernel_is_done_with_it,
        what_was_never_waited_for_comes_home,
    ],
}

const ROUNDS: usize = 40;
const FRAMES: u32 = 48;
const FRAME_BYTES: usize = 4096;
/// More than both sockets of a pair hold, and as much as one may have outgoing.
const LARGE_BYTES: usize = 1 << 20;
const SOCKET_BYTES: usize = 1 << 16;

// What the bytes are of.
const SENT: u8 = 0x5A;
const OLD: u8 = 0x11;
const WRITTEN: u8 = 0x22;
const EARLY: u8 = 0x33;
const LATE: u8 = 0xEE;
const KEPT: u8 = 0xC3;

fn whatever_is_in_flight_the_kernel_is_done_with_it(bench: &Bench) {
    let mut seeds = Rng::seeded();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(round(bench, &mut seeds.fork()));
        rounds.iter().for_each(Kept::check);
    }
}

fn what_was_never_waited_for_comes_home(bench: &Bench) {
    let (mut queue, mut rng) = (bench.queue(), Rng::seeded());
    let pool = pool(&queue);
    let ends = Ends::new(&mut queue);
    // That one takes its time, so it is in this case only.
    let sync = Operation::sync(ends.file.0);
    for operation in ends.operations(&pool, &mut rng).into_iter().chain([sync]) {
        queue.start(operation, A).unwrap();
    }
    let kept = ends.end(queue, &pool);
    ends.provoke();
    kept.check();
}

fn pool(queue: &Queue) -> Arc<FramePool> {
    // Frames that begin at a page, as a read from the disk demands.
    let builder = FramePool::builder(FRAMES, FRAME_BYTES).exact().waker(queue.room_waker());
    Arc::new(builder.build(&arena(1 << 20)).unwrap())
}

/// A queue that ends at a random moment, while its peers write in half of the rounds.
fn round(bench: &Bench, rng: &mut Rng) -> Kept {
    let mut queue = bench.queue();
    let pool = pool(&queue);
    let ends = Ends::new(&mut queue);
    let mut operations = ends.operations(&pool, rng);
    rng.shuffle(&mut operations);
    queue.register(Timer::after(Duration::from_millis(1)), A, Mode::Level).unwrap();
    let is_busy = rng.one_in(2);
    let work = || if is_busy { ends.write_early() } else { std::thread::yield_now() };
    let kept = while_busy(work, || {
        for operation in operations {
            queue.start(operation, A).unwrap();
            if rng.one_in(8) {
                wait(&mut queue, Wait::now()).unwrap();
            }
            if rng.one_in(4) {
                drop(queue.next_event());
            }
        }
        if rng.one_in(2) {
            let time = Duration::from_micros(rng.below(2_000));
            wait(&mut queue, Wait::within(time)).unwrap();
        }
        ends.end(queue, &pool)
    });
    ends.provoke();
    kept.check();
    kept
}

/// All that was lent to a queue, taken by the test as soon as it was home.
struct Kept {
    frames: Vec<Buffer>,
    heap: Vec<Vec<u8>>,
}

impl Kept {
    fn new(pool: &FramePool, heap_bytes: &[usize]) -> Self {
        let frame = |_| {
            let mut frame = pool.allocate().expect("it is home");
            frame.set_len(FRAME_BYTES).unwrap();
            frame.fill(KEPT);
            frame
        };
        let frames = (0..FRAMES).map(frame).collect();
        Self { frames, heap: heap_bytes.iter().map(|&bytes| vec![KEPT; bytes]).collect() }
    }

    fn check(&self) {
        let heap = self.heap.iter().map(|bytes| &bytes[..]);
        for (number, bytes) in self.frames.iter().map(|it| &it[..]).chain(heap).enumerate() {
            // Each is like the one before it: one comparison, and fast in a debug build too.
            let is_kept = bytes[0] == KEPT && bytes[1..] == bytes[..bytes.len() - 1];
            assert!(is_kept, "the kernel wrote into {number}, which it had given back");
        }
    }
}

/// A pair of connected descriptors.
struct Pair {
    /// In the queue.
    key: Key,
    /// The same once more, so that it is open when the queue is not.
    own: OwnedFd,
    peer: OwnedFd,
}

/// What the operations of a round are on, and their other ends.
struct Ends {
    /// Two for each kind of operation: a unix and a TCP one.
    received: [Pair; 2],
    received_each: [Pair; 2],
    sent: [Pair; 2],
    pipe: Pair,
    file: (Key, File),
    /// The file again, past the page cache: reads of it are under way for long, and the disk writes to
    /// the memory itself.
    uncached: Key,
    listener: Key,
    connecting: Vec<Key>,
    address: SocketAddr,
}

impl Ends {
    fn new(queue: &mut Queue) -> Self {
        let mut both = || {
            let (unix, tcp) = (testkit::unix_pair(), testkit::tcp_pair());
            [pair(queue, unix.0.into(), unix.1.into()), pair(queue, tcp.0.into(), tcp.1.into())]
        };
        let (received, received_each, sent) = (both(), both(), both());
        for Pair { own, peer, .. } in &sent {
            set_socket_send_buffer_size(own, SOCKET_BYTES).unwrap();
            set_socket_recv_buffer_size(peer, SOCKET_BYTES).unwrap();
        }
        let (reader, writer) = testkit::pipe_pair();
        let pipe = pair(queue, reader.into(), writer.into());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![OLD; 1 << 20]).unwrap();
        let uncached = own(queue, uncached(&file));
        let file = (own(queue, file.try_clone().unwrap().into()), file);
        let (listener, _) = listener();
        let listener = own(queue, listener);
        // Two or three connections fit, the others hang.
        let (full, address) = self::listener();
        listen(&full, 0).unwrap();
        own(queue, full);
        let connecting = (0..6).map(|_| own(queue, stream())).collect();
        Self { received, received_each, sent, pipe, file, uncached, listener, connecting, address }
    }

    /// Of every kind some, by name: what moves bytes, and what makes descriptors.
    fn operations(&self, pool: &Arc<FramePool>, rng: &mut Rng) -> Vec<Operation> {
        let frame = || pool.allocate().expect("there are more frames than operations");
        let heap = || Buffer::with_capacity(FRAME_BYTES);
        let large = || Buffer::from(vec![SENT; LARGE_BYTES]);
        let mut operations = Vec::new();
        for Pair { key, .. } in &self.received {
            operations.push(Operation::receive(*key, frame()));
            operations.push(Operation::receive(*key, heap()));
            operations.push(Operation::poll(*key, Interest::READ));
        }
        for Pair { key, .. } in &self.received_each {
            operations.push(Operation::receive_each(*key, pool.clone()));
        }
        for Pair { key, .. } in &self.sent {
            operations.push(Operation::send(*key, large()));
            operations.push(Operation::receive(*key, frame()));
        }
        operations.push(Operation::read(self.pipe.key, frame(), 0));
        let file = self.file.0;
        for _ in 0..4 {
            let place = rng.below(1 << 20);
            operations.push(Operation::read(file, frame(), place));
            operations.push(Operation::read(file, heap(), place));
            let page = place & !(FRAME_BYTES as u64 - 1);
            operations.push(Operation::read(self.uncached, frame(), page));
            let mut written = frame();
            written.append(&[WRITTEN; FRAME_BYTES]).unwrap();
            operations.push(Operation::write(file, written, place));
            operations.push(Operation::write(file, Buffer::from(vec![WRITTEN; 1 << 16]), place));
        }
        operations.push(Operation::metadata(file));
        operations.push(Operation::accept(self.listener));
        operations.push(Operation::accept_each(self.listener));
        let connect = |&key: &Key| Operation::connect(key, self.address);
        operations.extend(self.connecting.iter().map(connect));
        operations
    }

    /// Drops the queue, and takes what was lent to it.
    fn end(&self, queue: Queue, pool: &FramePool) -> Kept {
        watched("the end of a queue", || drop(queue));
        // At once: what a ring leaves undone is soon ended by the kernel. The pool itself finds a free
        // frame that was written to.
        self.write_early();
        let in_use = || {
            let statistics = pool.statistics().expect("this thread's");
            statistics.frames - statistics.free
        };
        // A thread that is at the file ends after the queue.
        assert!(testkit::settles(|| in_use() == 0), "{} frames are lost", in_use());
        let heap = [FRAME_BYTES; 6].into_iter().chain([1 << 16; 4]).chain([LARGE_BYTES; 2]);
        Kept::new(pool, &heap.collect::<Vec<_>>())
    }

    fn pairs(&self) -> impl Iterator<Item = &Pair> {
        let Self { received, received_each, sent, pipe, .. } = self;
        received.iter().chain(received_each).chain(sent).chain([pipe])
    }

    fn write_early(&self) {
        for Pair { peer, .. } in self.pairs() {
            // It may be full.
            let _ = rustix::io::write(peer, &[EARLY; 700]);
        }
    }

    /// Gives the kernel reason to write where it must not, and looks whether it took what came.
    fn provoke(&self) {
        for pair in self.pairs() {
            testkit::nonblocking(&pair.own);
            let (mut written, mut arrived) = (false, false);
            testkit::wait_until("what came late is there for who reads it", || {
                written = written || rustix::io::write(&pair.peer, &[LATE]) == Ok(1);
                arrived = arrived || available(&pair.own).contains(&LATE);
                written && arrived
            });
        }
        for Pair { peer, .. } in &self.sent {
            let came = available(peer);
            assert!(came.iter().all(|&byte| byte == SENT), "what was sent was not lent");
        }
        let (mut file, mut content) = (&self.file.1, Vec::new());
        file.rewind().unwrap();
        file.read_to_end(&mut content).unwrap();
        assert!(content.iter().all(|byte| [OLD, WRITTEN].contains(byte)), "not what was lent");
    }
}

/// The same file opened once more; through the page cache where its file system knows nothing else.
fn uncached(file: &File) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let open = |flags| {
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC | flags, rustix::fs::Mode::empty())
    };
    open(OFlags::DIRECT).or_else(|_| open(OFlags::empty())).unwrap()
}

/// What can be read without waiting.
fn available(from: &OwnedFd) -> Vec<u8> {
    let (mut all, mut some) = (Vec::new(), [0; 1 << 16]);
    while let Ok(bytes @ 1..) = rustix::io::read(from, &mut some) {
        all.extend_from_slice(&some[..bytes]);
    }
    all
}

/// Registers it for operations to name.
fn own(queue: &mut Queue, owner: OwnedFd) -> Key {
    queue.register(Fd::new(owner).unwatched(), A, Mode::Level).unwrap()
}

fn pair(queue: &mut Queue, own: OwnedFd, peer: OwnedFd) -> Pair {
    testkit::nonblocking(&peer);
    Pair { key: self::own(queue, own.try_clone().unwrap()), own, peer }
}

fn stream() -> OwnedFd {
    socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn listener() -> (OwnedFd, SocketAddr) {
    let socket = stream();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&socket, 16).unwrap();
    let address = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
    (socket, address)
}
