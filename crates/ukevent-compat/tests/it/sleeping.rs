//! hyper's sleeps: sent about, moved, and at the end of what they belong to.

use crate::clients::backends;
use futures_util::{FutureExt, task::noop_waker_ref};
use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    rt::Timer as _,
    server::conn::http1,
    service::service_fn,
};
use std::{
    convert::Infallible,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    task::Context,
    thread,
    time::{Duration, Instant},
};
use ukevent_compat::{
    Stream,
    hyper::{Sleep, Timer},
};
use ukevent_queue::{BackendKind, Builder};
use ukevent_task::{Runtime, net::TcpStream, spawn, time::sleep, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(5);

fn runtime(backend: BackendKind) -> Runtime {
    Runtime::with(Builder::new().backend(backend).build().unwrap())
}

fn words(panicked: Box<dyn std::any::Any + Send>) -> String {
    let text = panicked.downcast_ref::<&str>().map(|&it| it.to_owned());
    text.or_else(|| panicked.downcast_ref::<String>().cloned()).unwrap()
}

#[test]
fn never_early_and_in_order() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let start = Instant::now();
                let (late, early) = (Timer.sleep(4 * SOON), Timer.sleep_until(start + SOON));
                let (told, order) = mpsc::channel();
                let tasks =
                    [("late", late, 4 * SOON), ("early", early, SOON)].map(|(name, it, time)| {
                        let told = told.clone();
                        spawn(async move {
                            it.await;
                            assert!(start.elapsed() >= time, "{name}");
                            told.send(name).unwrap();
                        })
                    });
                for task in tasks {
                    task.await.unwrap();
                }
                assert_eq!(order.try_iter().collect::<Vec<_>>(), ["early", "late"], "{backend}");
                Timer.sleep_until(start).now_or_never().unwrap();
            })
            .unwrap();
    }
}

#[test]
fn it_is_moved() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let start = Instant::now();
                let pending = |it: &mut std::pin::Pin<Box<dyn hyper::rt::Sleep>>| {
                    assert!(it.as_mut().is::<Sleep>());
                    assert!(it.as_mut().now_or_never().is_none(), "{backend}");
                };
                // Before it is polled, and then to both sides.
                let mut it = Timer.sleep(HOUR);
                Timer.reset(&mut it, start + 2 * HOUR);
                pending(&mut it);
                sleep(SOON).await;
                Timer.reset(&mut it, start + HOUR);
                pending(&mut it);
                Timer.reset(&mut it, start + 2 * SOON);
                it.as_mut().await;
                assert!(start.elapsed() >= 2 * SOON);
                // To later: its timer expires in vain, and it goes on.
                let mut it = Timer.sleep(SOON);
                pending(&mut it);
                yield_now().await;
                let later = Instant::now() + 4 * SOON;
                Timer.reset(&mut it, later);
                it.as_mut().await;
                assert!(Instant::now() >= later, "{backend}");
                // When it is over.
                it.as_mut().await;
                let later = Instant::now() + SOON;
                Timer.reset(&mut it, later);
                it.await;
                assert!(Instant::now() >= later, "{backend}");
            })
            .unwrap();
    }
}

#[test]
fn what_no_clock_counts_to_is_never() {
    runtime(BackendKind::Poll)
        .block_on(async {
            let mut it = Timer.sleep(Duration::MAX);
            assert!(it.as_mut().now_or_never().is_none());
        })
        .unwrap();
}

#[test]
fn another_thread_may_wait_for_it() {
    for backend in backends() {
        let (over, is_over) = mpsc::channel();
        runtime(backend)
            .block_on(async {
                let mut it = Timer.sleep(4 * SOON);
                assert!(it.as_mut().now_or_never().is_none(), "it has a timer now");
                thread::spawn(move || {
                    ukevent_task::block_on(it).unwrap();
                    over.send(()).unwrap();
                });
                while is_over.try_recv().is_err() {
                    sleep(SOON).await;
                }
            })
            .unwrap();
    }
}

#[test]
fn it_fails_in_words_where_it_has_no_timer() {
    let mut cx = Context::from_waker(noop_waker_ref());
    let mut it = Timer.sleep(HOUR);
    let first = catch_unwind(AssertUnwindSafe(|| it.as_mut().poll(&mut cx)));
    assert!(words(first.unwrap_err()).contains("runtime"));
    // Which is no end of it.
    let mut runtime = runtime(BackendKind::Epoll);
    runtime.block_on(async { assert!(it.as_mut().now_or_never().is_none()) }).unwrap();
    drop(runtime);
    let late = catch_unwind(AssertUnwindSafe(|| it.as_mut().poll(&mut cx)));
    assert!(words(late.unwrap_err()).contains("its runtime was dropped"));
    Timer.reset(&mut it, Instant::now());
    assert!(it.now_or_never().is_some(), "time that is over needs no timer");
}

/// A client that says nothing is told to go, though hyper's own clock is not ours.
#[test]
fn hyper_ends_a_client_that_says_nothing() {
    for backend in backends() {
        runtime(backend)
            .block_on(async {
                let (socket, mut peer) = testkit::tcp_pair();
                let stream = Stream::from(TcpStream::from_socket(socket).unwrap());
                let peer = thread::spawn(move || peer.read(&mut [0; 1000]).unwrap());
                let answer = |_: Request<Incoming>| async {
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                };
                let served = http1::Builder::new()
                    .timer(Timer)
                    .header_read_timeout(SOON)
                    .serve_connection(stream, service_fn(answer))
                    .await;
                assert!(served.unwrap_err().is_timeout(), "{backend}");
                while !peer.is_finished() {
                    sleep(SOON).await;
                }
                assert_eq!(peer.join().unwrap(), 0, "{backend}");
            })
            .unwrap();
    }
}
