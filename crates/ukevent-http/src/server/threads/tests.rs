//! A thread that goes wrong, which nothing can make it do from outside.

use super::*;
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
};
use testkit::wait_until;
use ukevent_queue::BackendKind;
use ukevent_task::{Runtime, block_on, look};

/// A server of so many threads, on a backend, to which connections come by queues of this shape.
fn server((backend, shape): Case, threads: usize) -> Server {
    let queue = ukevent_queue::Builder::new().backend(backend);
    let limits = Limits { linger: std::time::Duration::from_millis(50), ..Limits::default() };
    let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap()).limits(limits);
    let runtime = Runtime::builder().queue(queue);
    builder.threads(threads, runtime).queue(shape).start().unwrap()
}

type Case = (BackendKind, QueueShape);

/// Runs this on each backend with each shape.
fn on_each(what: impl AsyncFn(Case)) {
    for backend in BackendKind::REAL {
        for shape in [QueueShape::Own, QueueShape::Shared] {
            let queue = ukevent_queue::Builder::new().backend(backend).build().unwrap();
            Runtime::with(queue).block_on(what((backend, shape))).unwrap();
        }
    }
}

impl Others {
    /// Puts a thread in the place of the last, which ends, that does this when it is to serve.
    fn replace(
        &mut self,
        first: &Stopper,
        with: impl FnOnce() -> Result<(), Failure> + Send + 'static,
    ) {
        drop(self.go.pop());
        let (number, thread) = self.threads.pop().unwrap();
        thread.join().unwrap().unwrap();
        let (go, goes) = shared(1);
        let (lines, _) = shared(1);
        let alarm = Alarm { first: Some(first.clone()), _lines: lines };
        self.go.push(go);
        let thread = move || match goes.receive_blocking() {
            Some(()) => alarm.ended(with()),
            None => Ok(()),
        };
        self.threads.push((number, thread::spawn(thread)));
    }
}

#[test]
fn a_thread_that_panics_ends_the_server() {
    on_each(async |case| {
        let mut server = server(case, 3);
        let first = server.stopper();
        server.others.replace(&first, || panic!("out of paper"));
        let error = server.run().await.unwrap_err();
        assert_eq!(error.to_string(), "thread 2: panicked: out of paper", "{case:?}");
        assert!(server.others.threads.is_empty(), "one was left");
    });
}

#[test]
fn a_thread_that_fails_ends_the_server() {
    on_each(async |case| {
        let mut server = server(case, 2);
        let first = server.stopper();
        server.others.replace(&first, || Err(Failure::Error("no more".into())));
        let error = server.run().await.unwrap_err();
        assert_eq!(error.to_string(), "thread 1: no more", "{case:?}");
    });
}

/// What is being answered by another thread then is answered.
#[test]
fn the_others_end_gently() {
    on_each(async |case| {
        let mut server = server(case, 3);
        let (first, address) = (server.stopper(), server.addresses()[0]);
        let (fail, failing) = mpsc::channel();
        server.others.replace(&first, move || {
            failing.recv().unwrap();
            Err(Failure::Error("no more".into()))
        });
        let meter = server.meter();
        let has_asked = Arc::new(AtomicBool::new(false));
        let asks = Arc::clone(&has_asked);
        let client = thread::spawn(move || {
            // One that is at work when it comes; to the socket of the thread that was replaced nobody listens
            // any more, so it is one of the other two that answers.
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n").unwrap();
            asks.store(true, Ordering::Release);
            stream
        });
        let asked = spawn(async move {
            while meter.counters().accepted == 0 || !has_asked.load(Ordering::Acquire) {
                look().await;
            }
            fail.send(()).unwrap();
        });
        let talk = thread::spawn(move || {
            let mut stream = client.join().unwrap();
            thread::sleep(std::time::Duration::from_millis(100));
            stream.write_all(b"x").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        assert!(server.run().await.is_err());
        asked.cancel();
        let answer = talk.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{case:?}: {answer:?}");
    });
}

/// Without the task that accepts there is a server that serves nobody; so with each of its own tasks.
#[test]
fn a_task_of_the_server_that_panics_ends_it() {
    for threads in [1, 2] {
        on_each(async |case| {
            let mut server = server(case, threads);
            let vital = Vital(Rc::clone(&server.house));
            let task = spawn(async move {
                let _vital = vital;
                panic!("on purpose");
            });
            let error = server.run().await.unwrap_err();
            let expected = "thread 0: one of the server's own tasks panicked";
            assert_eq!(error.to_string(), expected, "{case:?}");
            drop(task);
        });
    }
}

/// A start that fails on another thread is told, and leaves nothing.
#[test]
fn a_thread_that_cannot_start() {
    let site = tempfile::tempdir().unwrap();
    let builder = Server::builder().root(site.path()).listen("127.0.0.1:0".parse().unwrap());
    let limit = || ukevent_queue::Builder::new().limit(2);
    let started = block_on(async {
        let started = builder.threads(3, Runtime::builder().queue(limit())).start();
        started.map(drop).unwrap_err()
    });
    let error = started.unwrap();
    let StartError::Thread(ThreadError { thread, .. }) = &error else { panic!("{error}") };
    assert!([1, 2].contains(thread), "{error}");
    assert!(error.to_string().starts_with(&format!("thread {thread}: ")), "{error}");
    wait_until("no thread is left", || !threads().iter().any(|name| name.starts_with("serve ")));
}

/// The names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .collect()
}

#[test]
fn dropped_before_it_ran_it_leaves_no_thread() {
    on_each(async |case| {
        let server = server(case, 4);
        assert_eq!(threads().iter().filter(|name| name.starts_with("serve ")).count(), 3);
        drop(server);
        assert!(!threads().iter().any(|name| name.starts_with("serve ")), "{case:?}");
    });
}

/// Who came before the end is answered, though the other threads did not serve yet.
#[test]
fn stopped_before_it_ran_it_answers_who_waits() {
    on_each(async |case| {
        let mut server = server(case, 3);
        let ask = |_| {
            let mut stream = TcpStream::connect(server.addresses()[0]).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            stream
        };
        let clients: Vec<_> = (0..20).map(ask).collect();
        server.stopper().stop();
        server.run().await.unwrap();
        for mut client in clients {
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{case:?}: {answer:?}");
        }
        assert_eq!(server.counters().requests, 20);
    });
}
