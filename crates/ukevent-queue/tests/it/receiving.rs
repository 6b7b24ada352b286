//! Continuous receivers and the pool they share: few buffers for many streams, none of them lost.

use crate::bench::{A, B, Bench, batch, patient, silent, wait};
use crate::subject::Queue;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use ukevent_buf::FramePool;
use ukevent_queue::{
    BackendKind, Completed, Errno, Event, Fd, Key, Kind, Mode, Operation, Payload, StartRefusal,
    Token, Wait,
};

const ECANCELED: i32 = 125;

cases! {
    kernels: [
        many_streams_share_few_buffers,
        buffers_are_with_the_kernel_only_while_somebody_receives,
        a_pool_that_was_used_up_serves_the_next_receiver,
        the_last_buffer_serves_whoever_has_something,
        what_came_before_a_cancellation_is_delivered,
        a_pipe_is_read_until_its_end,
        what_is_no_pipe_but_can_be_read_is,
        a_stream_is_stopped_while_its_events_are_not_taken,
        a_file_is_not_read_for_ever,
        a_message_costs_few_calls,
        each_pool_serves_its_own_receivers,
        buffers_come_home_though_places_are_used_again,
        one_that_is_told_to_end_says_so_last,
        a_pool_of_one_serves_everybody,
        a_pool_of_another_thread_is_let_go_of,
        a_queue_that_is_dropped_gives_every_buffer_back,
    ],
}

fn pool(queue: &Queue, frames: u32, frame_bytes: usize) -> Arc<FramePool> {
    let arena = crate::bench::arena(1 << 20);
    let pool = FramePool::builder(frames, frame_bytes).waker(queue.room_waker());
    Arc::new(pool.build(&arena).unwrap())
}

fn in_use(pool: &FramePool) -> u32 {
    let statistics = pool.statistics().unwrap();
    statistics.frames - statistics.free
}

/// How many buffers of a pool are with the kernel while somebody receives and nothing comes.
fn ready(queue: &Queue, pool: &FramePool) -> u32 {
    if queue.backend() == BackendKind::IoUring { pool.frames() / 2 } else { 0 }
}

fn stream(queue: &mut Queue) -> (Key, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let key = queue.register(Fd::new(ours).unwatched(), Token(99), Mode::Level).unwrap();
    (key, theirs)
}

fn completed(event: Event) -> Completed {
    match event.kind {
        Kind::Completed(completed) => completed,
        other => panic!("{:?}: {other:?}", event.token),
    }
}

fn many_streams_share_few_buffers(bench: &Bench) {
    const STREAMS: usize = 150;
    let mut queue = bench.queue();
    let pool = pool(&queue, 3, 64);
    let mut peers = Vec::new();
    for at in 0..STREAMS {
        let (key, mut peer) = stream(&mut queue);
        queue.start(Operation::receive_each(key, pool.clone()), Token(at as u64)).unwrap();
        peer.write_all(&[at as u8; 300]).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        peers.push(peer);
    }
    let mut received = vec![0; STREAMS];
    let mut ended = 0;
    // Some are held a while, so that the pool is empty now and then.
    let mut held = Vec::new();
    while ended < STREAMS {
        for event in batch(&mut queue, patient()) {
            let at = event.token.0 as usize;
            let completed = completed(event);
            let count = completed.result.unwrap();
            match completed.payload {
                Payload::Buffer(buffer) => {
                    assert!(buffer.iter().all(|&byte| byte == at as u8));
                    assert_eq!(buffer.len(), count as usize);
                    received[at] += buffer.len();
                    held.push(buffer);
                }
                Payload::None => ended += 1,
                other => panic!("{other:?}"),
            }
        }
        held.clear();
    }
    assert_eq!(received, vec![300; STREAMS]);
    silent(&mut queue);
    assert_eq!(in_use(&pool), 0);
}

fn buffers_are_with_the_kernel_only_while_somebody_receives(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 8, 64);
    let (first, _peer) = stream(&mut queue);
    let (second, _other) = stream(&mut queue);
    let cancelled = queue.start(Operation::receive_each(first, pool.clone()), A).unwrap();
    queue.start(Operation::receive_each(second, pool.clone()), B).unwrap();
    silent(&mut queue);
    assert_eq!(in_use(&pool), ready(&queue, &pool));
    queue.cancel(cancelled).unwrap();
    let [event] = <[Event; 1]>::try_from(batch(&mut queue, patient())).unwrap();
    assert_eq!(completed(event).result, Err(Errno(ECANCELED)));
    silent(&mut queue);
    assert_eq!(in_use(&pool), ready(&queue, &pool), "one receives yet");
    drop(queue.remove(second).unwrap());
    silent(&mut queue);
    silent(&mut queue);
    assert_eq!(in_use(&pool), 0, "nobody receives any more");
}

fn a_pool_that_was_used_up_serves_the_next_receiver(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 2, 64);
    let held = [pool.allocate().unwrap(), pool.allocate().unwrap()];
    let (socket, mut peer) = stream(&mut queue);
    queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
    peer.write_all(b"first").unwrap();
    silent(&mut queue);
    drop(held);
    let [event] = <[Event; 1]>::try_from(batch(&mut queue, patient())).unwrap();
    assert_eq!(completed(event).into_buffer().as_deref(), Some(&b"first"[..]));
}

fn the_last_buffer_serves_whoever_has_something(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 4, 64);
    let _held = [(); 3].map(|()| pool.allocate().unwrap());
    let mut peers = Vec::new();
    for at in 0..20 {
        let (socket, peer) = stream(&mut queue);
        queue.start(Operation::receive_each(socket, pool.clone()), Token(at)).unwrap();
        peers.push(peer);
    }
    silent(&mut queue);
    for at in [19, 0, 10] {
        peers[at].write_all(b"x").unwrap();
        let [event] = <[Event; 1]>::try_from(batch(&mut queue, patient())).unwrap();
        assert_eq!(event.token, Token(at as u64));
        assert_eq!(completed(event).into_buffer().as_deref(), Some(&b"x"[..]));
    }
}

fn what_came_before_a_cancellation_is_delivered(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 8, 64);
    let (socket, mut peer) = stream(&mut queue);
    let key = queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
    silent(&mut queue);
    peer.write_all(b"here").unwrap();
    assert_eq!(wait(&mut queue, patient()), Ok(1));
    queue.cancel(key).unwrap();
    let mut came = Vec::new();
    let mut result = Ok(0);
    while result.is_ok() {
        for event in batch(&mut queue, patient()) {
            let completed = completed(event);
            result = completed.result;
            came.extend(completed.into_buffer().map(|buffer| buffer.to_vec()).unwrap_or_default());
        }
    }
    assert_eq!((came, result), (b"here".to_vec(), Err(Errno(ECANCELED))));
}

fn a_pipe_is_read_until_its_end(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 4, 100);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let key = queue.register(Fd::new(reader).unwatched(), Token(99), Mode::Level).unwrap();
    queue.start(Operation::read_each(key, pool.clone()), A).unwrap();
    silent(&mut queue);
    let sent = Vec::from_iter((0..30_000_u32).map(|at| (at / 7) as u8));
    let writing = sent.clone();
    let thread = std::thread::spawn(move || writer.write_all(&writing).unwrap());
    let mut came = Vec::new();
    let mut is_over = false;
    while !is_over {
        for event in batch(&mut queue, patient()) {
            let completed = completed(event);
            is_over = completed.result == Ok(0);
            assert!(completed.result.is_ok(), "{completed:?}");
            came.extend(completed.into_buffer().map(|it| it.to_vec()).unwrap_or_default());
        }
    }
    thread.join().unwrap();
    assert!(came == sent, "{} bytes", came.len());
    silent(&mut queue);
    assert_eq!(in_use(&pool), 0);
}

fn what_is_no_pipe_but_can_be_read_is(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 4, 8);
    let counter = ukevent_sys::eventfd::EventFd::new().unwrap();
    let writer = counter.as_fd().try_clone_to_owned().unwrap();
    let key = queue.register(Fd::new(counter).unwatched(), Token(99), Mode::Level).unwrap();
    queue.start(Operation::read_each(key, pool), A).unwrap();
    for value in [3_u64, 5] {
        rustix::io::write(&writer, &value.to_ne_bytes()).unwrap();
        let [event] = <[Event; 1]>::try_from(batch(&mut queue, patient())).unwrap();
        assert_eq!(completed(event).into_buffer().as_deref(), Some(&value.to_ne_bytes()[..]));
    }
}

fn a_stream_is_stopped_while_its_events_are_not_taken(bench: &Bench) {
    // What is asked for, and what there is if nothing is: 16 buffers' worth.
    for (most_bytes, most_pieces) in [(3000, 4), (0, 17)] {
        stopped(bench, most_bytes, most_pieces);
    }
}

fn stopped(bench: &Bench, most_bytes: u32, most_pieces: usize) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 64, 1000);
    let (socket, mut peer) = stream(&mut queue);
    queue.start(Operation::receive_each(socket, pool).at_most(most_bytes), A).unwrap();
    silent(&mut queue);
    let sent = Vec::from_iter((0..30_000_u32).map(|at| (at / 7) as u8));
    peer.write_all(&sent).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let mut came: Vec<u8> = Vec::new();
    loop {
        let events = batch(&mut queue, patient());
        // Before Linux 6.17 a ring stops later.
        let can_stop = queue.backend() != BackendKind::IoUring || testkit::kernel() >= (6, 17);
        assert!(!can_stop || events.len() <= most_pieces, "{} pieces", events.len());
        let completed = events.into_iter().map(completed);
        let pieces = Vec::from_iter(completed.map(|it| (it.result, it.into_buffer())));
        came.extend(pieces.iter().filter_map(|(_, it)| it.as_deref()).flatten());
        if pieces.last().is_some_and(|(result, _)| *result == Ok(0)) {
            break;
        }
    }
    assert!(came == sent, "{} bytes", came.len());
}

fn a_file_is_not_read_for_ever(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 4, 64);
    let file = tempfile::tempfile().unwrap();
    let key = queue.register(Fd::new(file).unwatched(), Token(99), Mode::Level).unwrap();
    let refused = queue.start(Operation::read_each(key, pool), A).unwrap_err();
    assert!(matches!(refused.reason, StartRefusal::Invalid(_)), "{refused}");
}

/// What is tried again and again must not be watched anew each time.
fn a_message_costs_few_calls(bench: &Bench) {
    const MESSAGES: u64 = 50;
    let mut queue = bench.queue();
    let pool = pool(&queue, 8, 64);
    let (socket, mut peer) = stream(&mut queue);
    queue.start(Operation::receive_each(socket, pool), A).unwrap();
    silent(&mut queue);
    let before = queue.counters().system_calls;
    for _ in 0..MESSAGES {
        peer.write_all(b"x").unwrap();
        assert_eq!(batch(&mut queue, patient()).len(), 1);
    }
    let calls = queue.counters().system_calls - before;
    println!("{}: {calls}", queue.backend());
    // A wait; elsewhere than on a ring a receive too, and on epoll that it be watched once more.
    let each = match queue.backend() {
        BackendKind::IoUring => 1,
        BackendKind::Epoll => 4,
        _ => 3,
    };
    assert!(calls <= each * MESSAGES + 5, "{calls} calls for {MESSAGES} messages");
}

fn each_pool_serves_its_own_receivers(bench: &Bench) {
    let mut queue = bench.queue();
    let (small, large) = (pool(&queue, 4, 16), pool(&queue, 4, 256));
    let (first, mut peer) = stream(&mut queue);
    let (second, mut other) = stream(&mut queue);
    queue.start(Operation::receive_each(first, small.clone()), A).unwrap();
    queue.start(Operation::receive_each(second, large.clone()), B).unwrap();
    silent(&mut queue);
    peer.write_all(&[1; 100]).unwrap();
    other.write_all(&[2; 100]).unwrap();
    let mut pieces = [Vec::new(), Vec::new()];
    while pieces.iter().map(|all| all.iter().sum::<usize>()).sum::<usize>() < 200 {
        for event in batch(&mut queue, patient()) {
            let place = usize::from(event.token == B);
            let buffer = completed(event).into_buffer().unwrap();
            assert!(buffer.iter().all(|&byte| byte == place as u8 + 1));
            pieces[place].push(buffer.len());
        }
    }
    assert!(pieces[0].iter().all(|&bytes| bytes <= 16), "{pieces:?}");
    assert_eq!(pieces[1], [100]);
}

fn buffers_come_home_though_places_are_used_again(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 8, 256);
    silent(&mut queue);
    let (mut socket, mut peer) = stream(&mut queue);
    queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
    for _ in 0..20 {
        peer.write_all(b"request").unwrap();
        assert_eq!(batch(&mut queue, patient()).len(), 1);
        // The next takes the places of both before the kernel has let go of the first.
        drop(queue.remove(socket).unwrap());
        (socket, peer) = stream(&mut queue);
        queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
    }
    drop(queue.remove(socket).unwrap());
    silent(&mut queue);
    silent(&mut queue);
    assert_eq!(in_use(&pool), 0, "nobody receives");
    assert_eq!(Arc::strong_count(&pool), 1);
}

fn one_that_is_told_to_end_says_so_last(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 8, 256);
    silent(&mut queue);
    let (socket, mut peer) = stream(&mut queue);
    peer.write_all(b"here").unwrap();
    let receive = Operation::receive_each(socket, pool).at_most(1);
    let key = queue.start(receive, A).unwrap();
    queue.cancel(key).unwrap();
    let mut results = Vec::new();
    while results.last().is_none_or(Result::is_ok) {
        let events = batch(&mut queue, patient());
        assert!(!events.is_empty(), "no end: {results:?}");
        results.extend(events.into_iter().map(|it| completed(it).result));
    }
    assert_eq!(results.last(), Some(&Err(Errno(ECANCELED))), "{results:?}");
}

fn a_pool_of_one_serves_everybody(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 1, 256);
    let (socket, mut peer) = stream(&mut queue);
    queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
    let (ours, theirs) = testkit::udp_pair();
    let datagrams = queue.register(Fd::new(ours).unwatched(), Token(99), Mode::Level).unwrap();
    queue.start(Operation::receive_each(datagrams, pool), B).unwrap();
    silent(&mut queue);
    theirs.send(b"one").unwrap();
    assert_eq!(batch(&mut queue, patient()).pop().map(|event| event.token), Some(B));
    peer.write_all(b"other").unwrap();
    assert_eq!(batch(&mut queue, patient()).pop().map(|event| event.token), Some(A));
}

fn a_pool_of_another_thread_is_let_go_of(bench: &Bench) {
    let mut queue = bench.queue();
    silent(&mut queue);
    let pool = pool(&queue, 8, 256);
    let (socket, mut peer) = stream(&mut queue);
    peer.write_all(b"here").unwrap();
    let (over, until_over) = std::sync::mpsc::channel::<()>();
    let (taken, until_taken) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let pool = &pool;
        scope.spawn(move || {
            let frame = pool.allocate().unwrap();
            taken.send(()).unwrap();
            until_over.recv().unwrap();
            drop(frame);
        });
        until_taken.recv().unwrap();
        queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
        let [event] = <[Event; 1]>::try_from(batch(&mut queue, patient())).unwrap();
        assert!(completed(event).result.is_err());
        silent(&mut queue);
        over.send(()).unwrap();
    });
    assert_eq!(Arc::strong_count(&pool), 1);
}

fn a_queue_that_is_dropped_gives_every_buffer_back(bench: &Bench) {
    let mut queue = bench.queue();
    let pool = pool(&queue, 16, 64);
    let mut peers = Vec::new();
    for _ in 0..20 {
        let (socket, mut peer) = stream(&mut queue);
        queue.start(Operation::receive_each(socket, pool.clone()), A).unwrap();
        peer.write_all(&[7; 200]).unwrap();
        peers.push(peer);
    }
    // Some lie in events that nobody takes.
    assert!(wait(&mut queue, Wait::within(std::time::Duration::from_secs(5))).unwrap() > 0);
    drop(queue);
    assert_eq!(in_use(&pool), 0);
}
