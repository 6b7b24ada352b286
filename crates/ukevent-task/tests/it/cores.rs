//! A thread for each core: they share the work, and end together.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use ukevent_queue::Signal;
use ukevent_task::cores::{Cores, Failure, Stop};
use ukevent_task::net::TcpListener;
use ukevent_task::{RunError, Runtime, spawn};

/// A port that nobody else takes: whoever holds the descriptor has it, and does not listen.
fn port() -> (SocketAddr, OwnedFd) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseport(&socket, true).unwrap();
    bind(&socket, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()).unwrap();
    (getsockname(&socket).unwrap().try_into().unwrap(), socket)
}

#[test]
fn connections_are_spread_and_a_stop_ends_all() {
    const THREADS: usize = 3;
    let (address, _held) = port();
    let stop = Stop::new();
    let listening = AtomicUsize::new(0);
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            Cores::new().threads(THREADS).stop(&stop).run(async |core| {
                let mut listener = TcpListener::bind_shared(address)?;
                listening.fetch_add(1, Ordering::Release);
                while let Some(stream) = core.guard(listener.accept()).await {
                    let (mut stream, number) = (stream?, core.number() as u8);
                    spawn(async move { stream.send(vec![number]).await }).detach();
                }
                Ok::<(), std::io::Error>(())
            })
        });
        while listening.load(Ordering::Acquire) < THREADS {
            thread::yield_now();
        }
        let mut seen = HashSet::new();
        // The kernel chooses by a hash: that 500 miss one of three has a chance of 10^-88.
        for _ in 0..500 {
            let mut number = [0];
            TcpStream::connect(address).unwrap().read_exact(&mut number).unwrap();
            seen.insert(number[0]);
        }
        assert_eq!(seen.len(), THREADS);
        stop.stop();
        server.join().unwrap().unwrap();
    });
}

#[test]
fn one_that_fails_ends_the_others() {
    let ended = Mutex::new(Vec::new());
    let error = Cores::new()
        .threads(3)
        .run(async |core| {
            if core.number() == 1 {
                return Err(std::io::Error::other("out of paper"));
            }
            core.stopped().await;
            ended.lock().unwrap().push(core.number());
            Ok(())
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "thread 1: out of paper");
    assert!(matches!(error.failures(), [(1, Failure::Error(_))]));
    assert_eq!(ended.into_inner().unwrap().len(), 2);
}

#[test]
fn one_that_panics_ends_the_others() {
    let error = Cores::new()
        .threads(2)
        .unpinned()
        .run(async |core| {
            assert_ne!(core.number(), 0, "the first");
            core.stopped().await;
            Err::<(), _>("and this, too")
        })
        .unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("thread 0: panicked: "), "{text}");
    assert!(text.contains("the first") && text.ends_with("\nthread 1: and this, too"), "{text}");
}

#[test]
fn one_that_ends_well_ends_nobody() {
    let (done, dones) = mpsc::channel();
    let stop = Stop::new();
    thread::scope(|scope| {
        let cores = scope.spawn(|| {
            Cores::new().threads(2).stop(&stop).run(async |core| {
                if core.number() == 0 {
                    done.send(()).unwrap();
                    return Ok::<(), std::io::Error>(());
                }
                core.stopped().await;
                Ok(())
            })
        });
        dones.recv().unwrap();
        assert!(!stop.is_stopped());
        stop.stop();
        cores.join().unwrap().unwrap();
    });
}

/// A signal to the process ends them. In a child of its own: a signal is everybody's.
#[test]
fn a_signal_ends_all() {
    use rustix::process::{Signal as Sent, getpid, kill_process};
    let ready = AtomicUsize::new(0);
    Cores::new()
        .threads(2)
        .stop_on([Signal::USR2])
        .run(async |core| {
            ready.fetch_add(1, Ordering::Relaxed);
            // Until it is watched it would end the process: the mask of this thread does not tell.
            let is_watched = || {
                let status = std::fs::read_to_string("/proc/self/status").unwrap();
                let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
                let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
                caught & 1 << (Signal::USR2.number() - 1) != 0
            };
            if core.number() == 0 {
                while !is_watched() {
                    ukevent_task::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                kill_process(getpid(), Sent::USR2).unwrap();
            }
            core.stopped().await;
            Ok::<(), std::io::Error>(())
        })
        .unwrap();
    assert_eq!(ready.into_inner(), 2);
}

#[test]
fn each_is_pinned_to_a_processor_of_its_own() {
    let seen = Mutex::new(HashSet::new());
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let count = allowed.count() as usize;
    Cores::new()
        .threads(count)
        .run(async |core| {
            let cpus = rustix::thread::sched_getaffinity(None)?;
            let cpu = core.cpu().expect("it is pinned");
            assert!(cpus.count() == 1 && cpus.is_set(cpu) && allowed.is_set(cpu));
            assert_eq!(core.count(), count);
            seen.lock().unwrap().insert(cpu);
            Ok::<(), std::io::Error>(())
        })
        .unwrap();
    assert_eq!(seen.into_inner().unwrap().len(), count);
}

#[test]
fn a_runtime_that_cannot_be_made_is_told() {
    let queue = ukevent_queue::Builder::new().limit(0);
    let cannot = Runtime::builder().queue(queue);
    let run = Cores::new().threads(2).runtime(cannot).run(async |_| {
        // With no registration allowed, nothing can be slept for.
        ukevent_task::time::sleep(std::time::Duration::from_millis(1)).await;
        Ok::<(), RunError>(())
    });
    let failures = run.unwrap_err();
    assert!(matches!(failures.failures()[0].1, Failure::Panicked(_)), "{failures}");
}

/// A connection that is open when the stop comes is closed with its thread.
#[test]
fn what_is_left_is_dropped() {
    let (address, _held) = port();
    let stop = Stop::new();
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            Cores::new().threads(1).stop(&stop).run(async |core| {
                let mut listener = TcpListener::bind_shared(address)?;
                tell.send(()).unwrap();
                while let Some(stream) = core.guard(listener.accept()).await {
                    let mut stream = stream?;
                    spawn(async move {
                            while stream.receive().await.is_ok_and(|it| !it.is_empty()) {}
                        })
                        .detach();
                    tell.send(()).unwrap();
                }
                Ok::<(), std::io::Error>(())
            })
        });
        told.recv().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"!").unwrap();
        told.recv().unwrap();
        stop.stop();
        server.join().unwrap().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "it is closed");
    });
}
