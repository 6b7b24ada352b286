//! What the core promises, by way of `futures-io`: nothing lost, nothing torn, errors told.

use crate::clients::{backends, bytes};
use futures_util::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, FutureExt};
use std::{
    future::poll_fn,
    io::{
        ErrorKind::{BrokenPipe, ConnectionReset},
        IoSlice, Read, Write,
    },
    net::TcpStream as Peer,
    pin::{Pin, pin},
    task::Poll,
    thread::{self, JoinHandle},
    time::Duration,
};
use ukevent_compat::Stream;
use ukevent_queue::{BackendKind, Builder};
use ukevent_task::{Runtime, net::TcpStream, spawn, time::sleep, yield_now};

fn runtime(backend: BackendKind) -> Runtime {
    Runtime::with(Builder::new().backend(backend).build().unwrap())
}

/// A stream, and its peer, which blocks.
fn pair() -> (Stream, Peer) {
    let (stream, peer) = testkit::tcp_pair();
    (Stream::from(TcpStream::from_socket(stream).unwrap()), peer)
}

/// Waits for a thread without holding up the runtime.
async fn joined<T>(thread: JoinHandle<T>) -> T {
    while !thread.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    thread.join().unwrap()
}

fn read_all(mut peer: Peer) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        all
    })
}

/// Writes until nothing more is taken for now, each write polled and dropped at once; the result is what
/// was taken. The peer does not read meanwhile, so in the end a send is in flight.
async fn stuff(stream: &mut Stream) -> Vec<u8> {
    let mut taken = Vec::new();
    let mut refused_in_a_row = 0;
    while refused_in_a_row < 200 {
        // Each is other bytes than the last, so that one that was dropped and went on would show.
        let piece = bytes(3_000 + refused_in_a_row % 7 + taken.len() % 90_001);
        match stream.write(&piece).now_or_never() {
            Some(count) => {
                taken.extend_from_slice(&piece[..count.unwrap()]);
                refused_in_a_row = 0;
            }
            None => {
                refused_in_a_row += 1;
                yield_now().await;
                sleep(Duration::from_micros(50)).await;
            }
        }
    }
    taken
}

#[test]
fn a_read_that_is_dropped_loses_nothing() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let (mut stream, mut peer) = pair();
                let sent = bytes(300_000);
                let to_send = sent.clone();
                let peer = thread::spawn(move || {
                    for piece in to_send.chunks(777) {
                        peer.write_all(piece).unwrap();
                    }
                });
                let mut got = Vec::new();
                let mut dropped = 0;
                while got.len() < sent.len() {
                    let mut some = [0; 1000];
                    let room = 1 + got.len() % some.len();
                    match stream.read(&mut some[..room]).now_or_never() {
                        Some(count) => got.extend_from_slice(&some[..count.unwrap()]),
                        None => {
                            dropped += 1;
                            yield_now().await;
                        }
                    }
                }
                assert!(got == sent, "{backend}");
                assert!(dropped > 0, "{backend}: the case did not arise");
                joined(peer).await;
                assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the end");
                assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "and again");
            })
            .unwrap();
    }
}

#[test]
fn what_is_shown_and_not_consumed_is_read() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let (mut stream, mut peer) = pair();
                let nothing = stream.read(&mut []).now_or_never();
                assert_eq!(nothing.unwrap().unwrap(), 0, "no room: nothing to wait for");
                peer.write_all(b"one\ntwo\nthree").unwrap();
                drop(peer);
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                assert_eq!(line, "one\n");
                assert!(stream.fill_buf().await.unwrap().starts_with(b"two\n"));
                assert_eq!(stream.read(&mut []).await.unwrap(), 0, "no room is not the end");
                let mut rest = String::new();
                stream.read_to_string(&mut rest).await.unwrap();
                assert_eq!(rest, "two\nthree", "{backend}");
            })
            .unwrap();
    }
}

#[test]
fn a_write_that_is_dropped_tears_nothing() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let (mut stream, peer) = pair();
                let mut taken = stuff(&mut stream).await;
                let reader = read_all(peer);
                stream.write_all(b"behind").await.unwrap();
                taken.extend(b"behind");
                stream.close().await.unwrap();
                assert!(joined(reader).await == taken, "{backend}");
            })
            .unwrap();
    }
}

#[test]
fn flushing_waits_until_all_has_left() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let (mut stream, peer) = pair();
                let taken = stuff(&mut stream).await;
                let mut flush = pin!(stream.flush());
                assert!(
                    flush.as_mut().now_or_never().is_none(),
                    "{backend}: the peer reads nothing yet"
                );
                let watched = peer.try_clone().unwrap();
                let reader = read_all(peer);
                flush.await.unwrap();
                assert!(stream.flush().now_or_never().is_some(), "nothing is in flight");
                stream.close().await.unwrap();
                assert_eq!(joined(reader).await.len(), taken.len());
                drop(watched);
            })
            .unwrap();
    }
}

#[test]
fn what_was_taken_leaves_though_the_stream_is_dropped() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let (mut stream, peer) = pair();
                let taken = stuff(&mut stream).await;
                drop(stream);
                yield_now().await;
                assert!(joined(read_all(peer)).await == taken, "{backend}");

                // And what was never looked at since.
                let (mut stream, peer) = pair();
                stream.write_all(b"last words").await.unwrap();
                drop(stream);
                assert_eq!(joined(read_all(peer)).await, b"last words", "{backend}");
            })
            .unwrap();
    }
}

#[test]
fn halves_go_on_with_what_was_left() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let (mut stream, mut peer) = pair();
                peer.write_all(b"abcdef").unwrap();
                stream.read_exact(&mut [0; 2]).await.unwrap();
                stream.write_all(b"one ").await.unwrap();
                let (mut receiver, mut sender) = stream.into_split();
                assert_eq!(&receiver.receive().await.unwrap()[..], b"cdef");
                sender.send(b"two ".to_vec()).await.unwrap();
                let mut stream = Stream::new(receiver, sender);
                stream.write_all(b"three").await.unwrap();
                stream.close().await.unwrap();
                assert_eq!(joined(read_all(peer)).await, b"one two three", "{backend}");
            })
            .unwrap();
    }
}

/// Dropped while its task is dropped with the runtime: nothing panics, and nothing stays open.
#[test]
fn a_runtime_that_ends_gives_up_what_is_in_flight() {
    testkit::alone(|| {
        for backend in backends() {
            let _count = testkit::count_descriptors();
            let mut runtime = runtime(backend);
            let (carried, _peer) = runtime
                .block_on(async {
                    let (mut stream, peer) = pair();
                    spawn(async move {
                        let _peer = peer;
                        stuff(&mut stream).await;
                        std::future::pending::<()>().await;
                    })
                    .detach();
                    // One that leaves already when the runtime ends, and one that outlives it.
                    let (mut leaving, peer) = pair();
                    stuff(&mut leaving).await;
                    drop(leaving);
                    let (mut carried, second) = pair();
                    stuff(&mut carried).await;
                    (carried, (peer, second))
                })
                .unwrap();
            drop(runtime);
            drop(carried);
        }
    });
}

#[test]
fn many_places_leave_as_one() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let (mut stream, peer) = pair();
                let parts = [bytes(10), Vec::new(), bytes(30_000), bytes(100_000)];
                let slices = parts.each_ref().map(|part| IoSlice::new(part));
                let count = stream.write_vectored(&slices).await.unwrap();
                assert_eq!(count, 65_536, "bounded");
                assert_eq!(stream.write_vectored(&[]).await.unwrap(), 0);
                assert_eq!(stream.write(&[]).await.unwrap(), 0);
                stream.close().await.unwrap();
                assert!(joined(read_all(peer)).await == parts.concat()[..count], "{backend}");
            })
            .unwrap();
    }
}

#[test]
fn a_failed_send_is_told_once_by_the_next_call() {
    for backend in backends() {
        for how in ["write", "flush", "close"] {
            runtime(backend)
                .block_on(async {
                    let (mut stream, peer) = pair();
                    stuff(&mut stream).await;
                    // What it has not read makes this a reset, which fails the send in flight.
                    drop(peer);
                    let error = match how {
                        "write" => stream.write(b"more").await.map(drop),
                        "flush" => stream.flush().await,
                        _ => stream.close().await,
                    }
                    .expect_err(&format!("{backend} {how}"));
                    let kind = error.kind();
                    assert!(
                        matches!(kind, BrokenPipe | ConnectionReset),
                        "{backend} {how}: {error}"
                    );
                    stream.flush().await.unwrap();
                    stream.close().await.unwrap();
                    stream.close().await.unwrap();
                })
                .unwrap();
        }
    }
}

/// A send that the peer took a part of is none that was sent.
#[test]
fn a_torn_send_is_an_error() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                for pieces in [1, 3] {
                    let (stream, mut peer) = pair();
                    let (_receiver, mut sender) = stream.into_split();
                    let peer = thread::spawn(move || peer.read_exact(&mut [0; 1000]).unwrap());
                    let sent = if pieces == 1 {
                        sender.send(vec![7; 50_000_000]).await
                    } else {
                        sender.send_pieces((0..pieces).map(|_| vec![7; 20_000_000])).await
                    };
                    let error = sent.expect_err(&backend.to_string());
                    let kind = error.kind();
                    assert!(matches!(kind, BrokenPipe | ConnectionReset), "{backend}: {error}");
                    joined(peer).await;

                    let (stream, mut peer) = pair();
                    let (_receiver, mut sender) = stream.into_split();
                    let peer = thread::spawn(move || peer.read_exact(&mut [0; 1000]).unwrap());
                    let (sent, buffer) = sender.send_buffer(vec![7; 50_000_000].into()).await;
                    assert!(sent.is_err(), "{backend}");
                    assert_eq!(buffer.len(), 50_000_000, "{backend}: it comes back all the same");
                    joined(peer).await;
                }
            })
            .unwrap();
    }
}

#[test]
fn closing_is_seen_once_all_was_read_and_the_other_way_stays_open() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let (mut stream, mut peer) = pair();
                stream.write_all(b"question").await.unwrap();
                stream.close().await.unwrap();
                stream.close().await.unwrap();
                let peer = thread::spawn(move || {
                    let mut said = String::new();
                    peer.read_to_string(&mut said).unwrap();
                    peer.write_all(b"answer").unwrap();
                    said
                });
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                assert_eq!((joined(peer).await.as_str(), answer.as_str()), ("question", "answer"));
                stream.write_all(b"late").await.unwrap();
                let late = stream.flush().await.unwrap_err();
                assert_eq!(late.kind(), BrokenPipe, "{backend}");
            })
            .unwrap();
    }
}

/// Both ways at once, on one stream in one task, each more than what the kernel keeps.
#[test]
fn reading_and_writing_do_not_wait_for_each_other() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let (mut stream, peer) = pair();
                let sent = bytes(20_000_000);
                let peer = thread::spawn(move || {
                    let (mut from, mut to) = (&peer, &peer);
                    std::io::copy(&mut from, &mut to).unwrap();
                });
                let (mut written, mut got) = (0, Vec::new());
                let mut closed = false;
                poll_fn(|cx| {
                    use futures_util::io::{AsyncRead, AsyncWrite};
                    loop {
                        let mut goes_on = false;
                        let mut stream = Pin::new(&mut stream);
                        if written < sent.len()
                            && let Poll::Ready(count) =
                                stream.as_mut().poll_write(cx, &sent[written..])
                        {
                            written += count.unwrap();
                            goes_on = true;
                        }
                        if written == sent.len()
                            && !closed
                            && let Poll::Ready(result) = stream.as_mut().poll_close(cx)
                        {
                            result.unwrap();
                            closed = true;
                        }
                        let mut some = vec![0; 100_000];
                        if let Poll::Ready(count) = stream.as_mut().poll_read(cx, &mut some) {
                            let count = count.unwrap();
                            got.extend_from_slice(&some[..count]);
                            if count == 0 {
                                return Poll::Ready(());
                            }
                            goes_on = true;
                        }
                        if !goes_on {
                            return Poll::Pending;
                        }
                    }
                })
                .await;
                assert!(got == sent, "{backend}: {} came back", got.len());
                joined(peer).await;
            })
            .unwrap();
    }
}
