//! What somebody tried who wanted to break it: limits of time, futures that are dropped at any poll, what has
//! nowhere to go, a runtime that is busy or full.

use crate::bench::{Bench, PATIENCE, dropped_while_it_waits, once, settle};
use crate::streams::tcp;
use rustix::event::{PollFd, PollFlags, poll};
use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io::{self, Read};
use std::pin::pin;
use std::process::Command;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use testkit::{Rng, TempTree};
use ukevent_queue::{Builder, Fd, Open, User};
use ukevent_task::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream};
use ukevent_task::pipe::PipeWriter;
use ukevent_task::process::Process;
use ukevent_task::time::{Deadline, interval, now, sleep, timeout};
use ukevent_task::watch::Watch;
use ukevent_task::{
    EventSet, Events, Registered, Runtime, channel, dump, fs, look, queue_counters, spawn,
    yield_now,
};

cases! {
    everywhere: [
        a_deadline_that_never_comes_is_waited_for,
        time_passes_for_who_waits_for_nothing_else,
        what_was_left_to_itself_leaves_also_when_all_are_busy,
        what_nobody_waits_for_any_more_keeps_no_frame,
        what_is_put_back_or_half_read_keeps_no_frame,
        a_look_is_complete_while_a_file_is_sent,
        an_owner_that_is_shown_may_be_timed_and_counted,
        a_full_queue_is_an_error_everywhere,
        a_removed_source_tells_no_more,
        a_sender_that_is_dropped_when_no_timer_can_be_had_panics_nowhere,
        a_look_sees_a_change_behind_a_crowd,
        whatever_is_dropped_at_any_poll_nothing_is_lost_or_torn,
        no_connection_is_lost_whenever_accepting_is_dropped,
        no_datagram_is_lost_whenever_receiving_is_dropped,
        a_pipe_is_whole_whatever_is_dropped,
        no_message_is_lost_whatever_is_dropped,
        time_passes_between_two_runs,
        what_was_started_is_told_also_when_the_stream_was_dropped,
        a_channel_may_be_used_by_another_runtime_of_the_thread,
    ],
    alone: [
        without_descriptors_all_fail_and_go_on_when_there_are_some,
    ],
}

const NEVER: Duration = Duration::MAX;

fn a_deadline_that_never_comes_is_waited_for(bench: &Bench) {
    bench.run(async {
        let mut deadline = Deadline::after(NEVER).unwrap();
        assert!(once(&mut pin!(deadline.guard(pending::<()>()))).await.is_pending());
        // One that has passed is moved there.
        deadline.set(Duration::ZERO);
        assert!(deadline.guard(pending::<()>()).await.is_err());
        deadline.set(NEVER);
        assert!(once(&mut pin!(deadline.guard(pending::<()>()))).await.is_pending());
        // And back.
        deadline.set(Duration::from_millis(1));
        assert!(deadline.guard(pending::<()>()).await.is_err());
        assert!(once(&mut pin!(sleep(NEVER))).await.is_pending());
        assert_eq!(timeout(NEVER, async { sleep(Duration::from_millis(1)).await }).await, Ok(()));
        interval(Duration::ZERO).unwrap().tick().await;
    });
}

fn time_passes_for_who_waits_for_nothing_else(bench: &Bench) {
    // Without the time limit that the bench has.
    bench
        .runtime()
        .block_on(async {
            let before = now();
            for _ in 0..1000 {
                std::thread::sleep(Duration::from_micros(10));
                yield_now().await;
            }
            assert!(now() > before);
        })
        .unwrap();
}

fn what_was_left_to_itself_leaves_also_when_all_are_busy(bench: &Bench) {
    let (mut reader, writer) = io::pipe().unwrap();
    bench
        .runtime()
        .block_on(async {
            let mut writer = PipeWriter::from_fd(writer).unwrap();
            _ = once(&mut pin!(writer.write(b"!".to_vec()))).await;
            for _ in 0..1000 {
                yield_now().await;
            }
            let mut polled = [PollFd::new(&reader, PollFlags::IN)];
            assert_eq!(poll(&mut polled, Some(&Default::default())).unwrap(), 1, "it never left");
        })
        .unwrap();
    let mut byte = [0];
    reader.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
}

fn what_nobody_waits_for_any_more_keeps_no_frame(bench: &Bench) {
    let queue = Builder::new().backend(bench.kind());
    let mut runtime = Runtime::builder().queue(queue).frames(2, 256).build().unwrap();
    runtime
        .block_on(async {
            let mut idle = Vec::new();
            for _ in 0..4 {
                let (mut ours, theirs) = UnixStream::pair().unwrap();
                dropped_while_it_waits(ours.receive()).await;
                idle.push((ours, theirs));
            }
            for (_, theirs) in &mut idle {
                theirs.send(vec![7; 10]).await.unwrap();
            }
            settle().await;
            // Of futures that were woken and are dropped before they are polled again, too.
            let mut woken = Vec::new();
            for _ in 0..2 {
                let (mut ours, mut theirs) = UnixStream::pair().unwrap();
                {
                    let mut receives = pin!(ours.receive());
                    assert!(once(&mut receives).await.is_pending());
                    settle().await;
                    theirs.send(vec![8; 10]).await.unwrap();
                    settle().await;
                }
                woken.push((ours, theirs));
            }
            let (mut one, mut other) = UnixStream::pair().unwrap();
            other.send(vec![9; 10]).await.unwrap();
            let limit = Duration::from_secs(20);
            let received = timeout(limit, one.receive()).await.expect("others keep all frames");
            assert_eq!(received.unwrap()[..], [9; 10]);
            for (ours, _) in &mut woken {
                assert_eq!(ours.receive().await.unwrap()[..], [8; 10]);
            }
            for (ours, _) in &mut idle {
                assert_eq!(ours.receive().await.unwrap()[..], [7; 10]);
            }
        })
        .unwrap();
}

fn what_is_put_back_or_half_read_keeps_no_frame(bench: &Bench) {
    let queue = Builder::new().backend(bench.kind());
    let mut runtime = Runtime::builder().queue(queue).frames(2, 256).build().unwrap();
    runtime
        .block_on(async {
            let mut kept = Vec::new();
            for number in 0..6 {
                let (ours, mut theirs) = UnixStream::pair().unwrap();
                let (mut receiver, sender) = ours.into_split();
                theirs.send(b"line".to_vec()).await.unwrap();
                let limit = Duration::from_secs(20);
                if number % 2 == 0 {
                    let shown = poll_fn(|cx| receiver.poll_fill(cx).map_ok(<[u8]>::len));
                    assert_eq!(timeout(limit, shown).await.expect("no frame is left").unwrap(), 4);
                    receiver.consume(1);
                } else {
                    let received = timeout(limit, receiver.receive()).await;
                    let mut bytes = received.expect("no frame is left").unwrap();
                    bytes.consume(1);
                    receiver.put_back(bytes);
                }
                kept.push((receiver, sender, theirs));
            }
            for (receiver, ..) in &mut kept {
                assert_eq!(receiver.receive().await.unwrap()[..], *b"ine");
            }
        })
        .unwrap();
}

fn a_look_is_complete_while_a_file_is_sent(bench: &Bench) {
    const BYTES: u64 = 64 << 20;
    let tree = TempTree::new();
    let path = tree.path().join("large");
    std::fs::File::create(&path).unwrap().set_len(BYTES).unwrap();
    // In memory.
    std::io::copy(&mut std::fs::File::open(&path).unwrap(), &mut std::io::sink()).unwrap();
    bench.run(async {
        let (client, server) = std::os::unix::net::UnixStream::pair().unwrap();
        let reader = std::thread::spawn(move || {
            let mut client = client;
            io::copy(&mut client, &mut io::sink()).unwrap()
        });
        let mut server = UnixStream::from_socket(server).unwrap();
        let sends = spawn(async move {
            let file = fs::File::open(&path, Open::read()).await.unwrap();
            for _ in 0..4 {
                let sent = server.split().1.send_file(Vec::new(), file.registered(), 0, BYTES);
                assert_eq!(sent.await.unwrap(), BYTES);
            }
        });
        let mut most = 0;
        while !sends.has_ended() {
            let before = dump().counters.turns;
            look().await;
            most = most.max(dump().counters.turns - before);
        }
        sends.await.unwrap();
        assert_eq!(most, 1, "turns that a look took");
        assert_eq!(reader.join().unwrap(), 4 * BYTES);
    });
}

fn an_owner_that_is_shown_may_be_timed_and_counted(bench: &Bench) {
    bench.run(async {
        let (reader, _writer) = io::pipe().unwrap();
        let registered = Registered::new(reader).unwrap();
        let shown = registered.with(|_: &io::PipeReader| {
            drop(sleep(NEVER));
            drop(timeout(NEVER, pending::<()>()));
            let _ = now();
            queue_counters().registered
        });
        assert!(shown.unwrap() >= 1);
    });
}

fn a_full_queue_is_an_error_everywhere(bench: &Bench) {
    for limit in 0..12 {
        let queue = Builder::new().backend(bench.kind()).limit(limit);
        let mut runtime = Runtime::builder().queue(queue).build().unwrap();
        let refused = runtime.block_on(use_all()).unwrap();
        assert!(refused > 0 || limit > 4, "{limit}");
        let left = runtime.into_queue().expect("nothing keeps it").counters().registered;
        assert_eq!(left, 0, "{limit}");
    }
}

/// Tries to make one of each; how many could not be had.
async fn use_all() -> usize {
    let here = "127.0.0.1:0".parse().unwrap();
    let mut refused = 0;
    let mut had = |made: bool| refused += usize::from(!made);
    {
        let kept = EventSet::new().add(User::each(1));
        had(kept.is_ok());
        let timer = Deadline::after(NEVER);
        had(timer.is_ok());
        let beats = interval(NEVER);
        had(beats.is_ok());
        let events = Events::of(User::each(1));
        had(events.is_ok());
        let listener = TcpListener::bind(here);
        had(listener.is_ok());
        if let Ok(mut listener) = listener {
            let client = TcpStream::connect(listener.address().unwrap()).await;
            had(client.is_ok());
            if client.is_ok() {
                let server = listener.accept().await;
                had(server.is_ok());
                if let (Ok(mut server), Ok(mut client)) = (server, client) {
                    had(server.send(vec![1]).await.is_ok());
                    had(client.receive().await.is_ok());
                    let (_, sender) = server.split();
                    had(poll_fn(|cx| sender.poll_send(cx, b"!")).await.is_ok());
                    had(poll_fn(|cx| sender.poll_shutdown(cx)).await.is_ok());
                }
            }
        }
    }
    had(UnixStream::pair().is_ok());
    had(UnixDatagram::pair().is_ok());
    had(UdpSocket::bind(here).is_ok());
    had(ukevent_task::pipe::pipe().is_ok());
    had(fs::read("/etc/passwd").await.is_ok());
    had(fs::metadata("/etc/passwd").await.is_ok());
    had(Watch::path("/tmp").is_ok());
    had(ukevent_task::signal::Signal::of(ukevent_queue::Signal::USR2).is_ok());
    had(ukevent_task::posts::Posts::each(1).is_ok());
    let cat = Process::spawn(Command::new("cat").stdin(std::process::Stdio::piped()));
    had(cat.is_ok());
    if let Ok(mut cat) = cat {
        had(cat.wait().await.is_ok());
    }
    drop(Process::spawn(&mut Command::new("true")).map(|mut child| child.kill()));
    refused
}

fn a_removed_source_tells_no_more(bench: &Bench) {
    bench.run(async {
        let mut set = EventSet::new();
        let gone = set.add(User::each(8)).unwrap();
        let stays = set.add(User::each(8)).unwrap();
        for number in 0..8 {
            set.poster(gone).unwrap().post(number).unwrap();
            set.poster(stays).unwrap().post(number).unwrap();
        }
        settle().await;
        set.remove(gone);
        for _ in 0..8 {
            assert_eq!(set.next().await.0, stays);
        }
    });
}

fn a_sender_that_is_dropped_when_no_timer_can_be_had_panics_nowhere(bench: &Bench) {
    let queue = Builder::new().backend(bench.kind()).limit(3);
    let mut runtime = Runtime::builder().queue(queue).build().unwrap();
    runtime
        .block_on(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (_, mut sender) = ours.into_split();
            while poll_fn(|cx| Poll::Ready(sender.poll_send(cx, &[0; 1 << 16]))).await.is_ready() {
                settle().await;
            }
            drop(sender);
            settle().await;
            assert_eq!(dump().counters.panicked, 0);
            drop(theirs);
            settle().await;
            assert_eq!(queue_counters().registered, 0);
        })
        .unwrap();
}

fn a_look_sees_a_change_behind_a_crowd(bench: &Bench) {
    // More than a backend takes from the kernel at a time.
    const CROWD: usize = 300;
    let tree = TempTree::new();
    bench.run(async {
        for round in 0..3 {
            let (reader, mut writer) = io::pipe().unwrap();
            let mut crowd = EventSet::new();
            for _ in 0..CROWD {
                crowd.add(Fd::new(reader.try_clone().unwrap())).unwrap();
            }
            let mut watch = Watch::path(tree.path()).unwrap();
            assert!(once(&mut pin!(watch.next())).await.is_pending());
            settle().await;
            io::Write::write_all(&mut writer, b"!").unwrap();
            tree.file(&format!("change-{round}"), "new");
            look().await;
            assert!(once(&mut pin!(watch.next())).await.is_ready(), "round {round}");
        }
    });
}

/// Sends numbered bytes and drops futures wherever a coin says so; all must come, once and in order.
fn whatever_is_dropped_at_any_poll_nothing_is_lost_or_torn(bench: &Bench) {
    let bench_kind = bench.kind();
    for seed in 1..=12 {
        // Few frames: one that is lost is missed.
        let queue = Builder::new().backend(bench_kind);
        let mut runtime = Runtime::builder().queue(queue).frames(3, 512).build().unwrap();
        let all = async move {
            // The limit that the bench has is registered from the first pause on.
            settle().await;
            let before = queue_counters().registered;
            let (ours, theirs) = if seed % 2 == 0 {
                let (one, other) = tcp().await;
                (one.into_split(), other.into_split())
            } else {
                let (one, other) = UnixStream::pair().unwrap();
                (one.into_split(), other.into_split())
            };
            let ((_r, mut sender), (mut receiver, _s)) = (ours, theirs);
            let total = Rc::new(Cell::new(None));
            let said = Rc::clone(&total);
            let sends = spawn(async move {
                let mut rng = Rng::new(seed);
                let mut count = 0_usize;
                for _ in 0..300 {
                    let size = 1 + rng.below(3000) as usize;
                    let bytes: Vec<u8> = (count..count + size).map(|at| (at % 251) as u8).collect();
                    count += size;
                    match rng.below(4) {
                        0 => sender.send(bytes).await.unwrap(),
                        1 => {
                            // It waits for nothing before it, so it has begun.
                            _ = once(&mut pin!(sender.send(bytes))).await;
                        }
                        2 => drop(sender.start(bytes)),
                        _ => {
                            let mut rest = &bytes[..];
                            while !rest.is_empty() {
                                let sent = poll_fn(|cx| sender.poll_send(cx, rest)).await;
                                rest = &rest[sent.unwrap()..];
                            }
                        }
                    }
                    if rng.below(8) == 0 {
                        // Not more on its way than may.
                        sender.send(Vec::new()).await.unwrap();
                        settle().await;
                    }
                }
                poll_fn(|cx| sender.poll_flush(cx)).await.unwrap();
                sender.shutdown().await.unwrap();
                said.set(Some(count));
            });
            let mut rng = Rng::new(seed + 1000);
            let mut at = 0_usize;
            loop {
                let polls = rng.below(4);
                let received = {
                    let mut receives = pin!(receiver.receive());
                    let mut received = None;
                    for _ in 0..polls {
                        if let Poll::Ready(bytes) = once(&mut receives).await {
                            received = Some(bytes.unwrap());
                            break;
                        }
                        match rng.below(3) {
                            0 => yield_now().await,
                            1 => look().await,
                            _ => {}
                        }
                    }
                    received
                };
                let Some(mut bytes) = received else {
                    yield_now().await;
                    continue;
                };
                if bytes.is_empty() {
                    break;
                }
                if rng.below(3) == 0 && bytes.len() > 1 {
                    let rest = bytes[1..].to_vec();
                    bytes = bytes[..1].to_vec().into();
                    receiver.put_back(rest.into());
                }
                for &byte in &bytes[..] {
                    assert_eq!(byte, (at % 251) as u8, "{bench_kind}, seed {seed}, at {at}");
                    at += 1;
                }
            }
            sends.await.unwrap();
            assert_eq!(Some(at), total.get(), "{bench_kind}, seed {seed}");
            drop((_r, receiver, _s));
            settle().await;
            assert_eq!(queue_counters().registered, before, "{bench_kind}, seed {seed}");
        };
        let limited = async { timeout(PATIENCE, all).await };
        runtime.block_on(limited).unwrap().expect("it would wait for ever");
    }
}

/// Polls a future up to three times, pausing in between, and drops it: nothing may be lost by that.
async fn now_and_then<F: Future>(rng: &mut Rng, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..rng.below(4) {
        if let Poll::Ready(output) = once(&mut future).await {
            return Some(output);
        }
        match rng.below(3) {
            0 => yield_now().await,
            1 => look().await,
            _ => {}
        }
    }
    None
}

fn no_connection_is_lost_whenever_accepting_is_dropped(bench: &Bench) {
    const ALL: u64 = 150;
    bench.run(async {
        let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        let clients = std::thread::spawn(move || {
            let connect = |_| std::net::TcpStream::connect(address).unwrap();
            (0..ALL).map(connect).collect::<Vec<_>>()
        });
        let mut rng = Rng::new(7);
        let mut servers = Vec::new();
        while servers.len() < ALL as usize {
            match now_and_then(&mut rng, listener.accept()).await {
                Some(server) => servers.push(server.unwrap()),
                None => yield_now().await,
            }
        }
        let mut theirs: Vec<_> =
            clients.join().unwrap().iter().map(|it| it.local_addr().unwrap()).collect();
        let mut ours: Vec<_> = servers.iter().map(|it| it.peer_address().unwrap()).collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs);
    });
}

fn no_datagram_is_lost_whenever_receiving_is_dropped(bench: &Bench) {
    bench.run(async {
        let (ours, mut theirs) = UnixDatagram::pair().unwrap();
        let sends = spawn(async move {
            let mut rng = Rng::new(3);
            for number in 0..500_u32 {
                let bytes =
                    [&number.to_ne_bytes()[..], &vec![0; rng.below(5000) as usize]].concat();
                if rng.below(2) == 0 {
                    ours.send(bytes).await.unwrap();
                } else {
                    _ = once(&mut pin!(ours.send(bytes))).await;
                }
            }
            ours.send(Vec::new()).await.unwrap();
        });
        let mut rng = Rng::new(4);
        let mut next = 0_u32;
        loop {
            let Some(datagram) = now_and_then(&mut rng, theirs.receive()).await else {
                yield_now().await;
                continue;
            };
            let datagram = datagram.unwrap();
            if datagram.is_empty() {
                break;
            }
            assert_eq!(datagram[..4], next.to_ne_bytes());
            next += 1;
        }
        assert_eq!(next, 500);
        sends.await.unwrap();
    });
}

fn a_pipe_is_whole_whatever_is_dropped(bench: &Bench) {
    bench.run(async {
        let (mut reader, mut writer) = ukevent_task::pipe::pipe().unwrap();
        let writes = spawn(async move {
            let mut rng = Rng::new(5);
            let mut count = 0;
            for _ in 0..150 {
                let size = 1 + rng.below(4000) as usize;
                let bytes: Vec<u8> = (count..count + size).map(|at| (at % 251) as u8).collect();
                count += size;
                if rng.below(2) == 0 {
                    writer.write(bytes).await.unwrap();
                } else {
                    _ = once(&mut pin!(writer.write(bytes))).await;
                }
            }
            // Behind all.
            writer.write(vec![(count % 251) as u8]).await.unwrap();
            count + 1
        });
        let mut rng = Rng::new(6);
        let mut at = 0_usize;
        loop {
            let Some(bytes) = now_and_then(&mut rng, reader.read()).await else {
                yield_now().await;
                continue;
            };
            let bytes = bytes.unwrap();
            if bytes.is_empty() {
                break;
            }
            for &byte in &bytes[..] {
                assert_eq!(byte, (at % 251) as u8, "at {at}");
                at += 1;
            }
        }
        assert_eq!(writes.await.unwrap(), at);
    });
}

fn no_message_is_lost_whatever_is_dropped(bench: &Bench) {
    const EACH: u64 = 300;
    bench.run(async {
        for capacity in [1, 2, 7] {
            let (sender, receiver) = channel::local(capacity);
            let (shared_sender, shared_receiver) = channel::shared(capacity);
            let mut tasks = Vec::new();
            for seed in 0..4 {
                let (sender, shared_sender) = (sender.clone(), shared_sender.clone());
                tasks.push(spawn(async move {
                    let mut rng = Rng::new(seed + 1);
                    let mut number = 0;
                    while number < EACH {
                        // What was dropped was not sent.
                        let sent = now_and_then(&mut rng, sender.send(seed * EACH + number)).await;
                        if sent.is_some() {
                            shared_sender.send(seed * EACH + number).await.unwrap();
                            number += 1;
                        }
                    }
                    0
                }));
            }
            drop((sender, shared_sender));
            for seed in 0..3 {
                let receiver = receiver.clone();
                tasks.push(spawn(async move {
                    let mut rng = Rng::new(seed + 11);
                    let mut sum = 0;
                    loop {
                        match now_and_then(&mut rng, receiver.receive()).await {
                            Some(Some(number)) => sum += number,
                            Some(None) => return sum,
                            None => yield_now().await,
                        }
                    }
                }));
            }
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let receiver = shared_receiver.clone();
                    std::thread::spawn(move || {
                        let mut sum = 0;
                        while let Some(number) = receiver.receive_blocking() {
                            sum += number;
                        }
                        sum
                    })
                })
                .collect();
            let mut rng = Rng::new(21);
            let mut shared_sum = 0;
            loop {
                match now_and_then(&mut rng, shared_receiver.receive()).await {
                    Some(Some(number)) => shared_sum += number,
                    Some(None) => break,
                    None => yield_now().await,
                }
            }
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            for thread in threads {
                shared_sum += thread.join().unwrap();
            }
            let all: u64 = (0..4 * EACH).sum();
            assert_eq!((sum, shared_sum), (all, all), "capacity {capacity}");
        }
    });
}

fn without_descriptors_all_fail_and_go_on_when_there_are_some(bench: &Bench) {
    bench.run(async {
        let here = "127.0.0.1:0".parse().unwrap();
        let mut listener = TcpListener::bind(here).unwrap();
        let client = std::net::TcpStream::connect(listener.address().unwrap()).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let mut all = Vec::new();
        let full = loop {
            match file.try_clone() {
                Ok(one) => all.push(one),
                Err(error) => break error,
            }
        };
        assert_eq!(full.raw_os_error(), Some(24));
        assert!(listener.accept().await.is_err());
        assert!(listener.accept().await.is_err());
        let refused = use_all().await;
        assert!(refused >= 8, "{refused}");
        drop(all);
        let server = listener.accept().await.unwrap();
        assert_eq!(server.peer_address().unwrap(), client.local_addr().unwrap());
        assert_eq!(use_all().await, 0);
    });
}

fn time_passes_between_two_runs(bench: &Bench) {
    let mut runtime = bench.runtime();
    let before = runtime.block_on(async { now() }).unwrap();
    let pause = Duration::from_millis(20);
    std::thread::sleep(pause);
    assert!(runtime.block_on(async { now() }).unwrap() >= before + pause);
    let mut deadline = runtime.block_on(async { Deadline::after(NEVER).unwrap() }).unwrap();
    std::thread::sleep(pause);
    let begun = std::time::Instant::now();
    runtime
        .block_on(async {
            deadline.set(pause);
            assert!(deadline.guard(pending::<()>()).await.is_err());
        })
        .unwrap();
    assert!(begun.elapsed() >= pause, "it counted from before");
}

fn a_channel_may_be_used_by_another_runtime_of_the_thread(bench: &Bench) {
    let mut first = bench.runtime();
    let (sender, receiver) = first.block_on(async { channel::local(4) }).unwrap();
    bench.run(async move {
        let sends = spawn(async move {
            for number in 0..1000 {
                sender.send(number).await.unwrap();
            }
        });
        for number in 0..1000 {
            assert_eq!(receiver.receive().await, Some(number));
        }
        sends.await.unwrap();
    });
}

fn what_was_started_is_told_also_when_the_stream_was_dropped(bench: &Bench) {
    bench.run(async {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let started = ours.split().1.start(vec![1; 1 << 20]);
        let waits = spawn(started);
        settle().await;
        assert!(!waits.has_ended(), "there was room for all");
        drop(ours);
        let mut count = 0;
        loop {
            let bytes = theirs.receive().await.unwrap();
            if bytes.is_empty() {
                break;
            }
            count += bytes.len();
        }
        assert_eq!(count, 1 << 20);
        waits.await.unwrap().unwrap();
    });
}
