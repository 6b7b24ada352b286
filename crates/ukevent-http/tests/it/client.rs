//! A server in a thread, and clients that talk to it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};
use ukevent_http::{Builder, Counters, Limits, Meter, Server, Stopper};
use ukevent_queue::{BackendKind, Queue};
use ukevent_task::{Runtime, spawn, time::sleep};

/// The backends that there are here, one at a time. That one is missing is said aloud. What is left open
/// when the next one is asked for, and was not when the last one was given, fails the test.
pub(crate) fn backends() -> impl Iterator<Item = BackendKind> {
    let all = BackendKind::REAL;
    let present = all.into_iter().filter(|&kind| match queue(kind) {
        Ok(_) => true,
        Err(error) => {
            testkit::skip(error);
            false
        }
    });
    let mut rounds = present.collect::<Vec<_>>().into_iter();
    let mut count = None;
    std::iter::from_fn(move || {
        drop(count.take());
        let kind = rounds.next()?;
        count = Some(testkit::count_descriptors());
        Some(kind)
    })
}

fn queue(kind: BackendKind) -> Result<Queue, ukevent_queue::BuildError> {
    ukevent_queue::Builder::new().backend(kind).build()
}

/// Runs this on a backend. Nothing may be left on the queue; what that counted is returned, too.
pub(crate) fn run<T>(
    kind: BackendKind,
    what: impl Future<Output = T>,
) -> (T, ukevent_queue::Counters) {
    let mut runtime = Runtime::with(queue(kind).unwrap());
    let result = runtime.block_on(what).unwrap();
    let queue = runtime.into_queue().expect("nothing is left that uses the queue");
    assert_eq!(queue.counters().registered, 0, "something was left on the queue");
    (result, queue.counters())
}

/// A server at work.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stopper: Stopper,
    thread: Option<JoinHandle<(Counters, ukevent_queue::Counters)>>,
}

impl Running {
    /// Starts it on a queue of its own, in a thread of its own.
    pub(crate) fn new(kind: BackendKind, root: Option<&Path>, limits: Limits) -> Self {
        let builder = Server::builder().listen("127.0.0.1:0".parse().unwrap()).limits(limits);
        Self::with(kind, root.into_iter().fold(builder, |builder, root| builder.root(root)))
    }

    pub(crate) fn with(kind: BackendKind, builder: Builder) -> Self {
        Self::beside(kind, builder, |_| std::future::ready(()))
    }

    /// Starts it beside a task that shows its counters every millisecond.
    pub(crate) fn observed(kind: BackendKind, builder: Builder) -> (Self, Arc<Mutex<Counters>>) {
        let counters = Arc::new(Mutex::new(Counters::default()));
        let shown = Arc::clone(&counters);
        let server = Self::beside(kind, builder, move |meter| async move {
            loop {
                *shown.lock().unwrap() = meter.counters();
                sleep(Duration::from_millis(1)).await;
            }
        });
        (server, counters)
    }

    /// Starts it beside another task.
    pub(crate) fn beside<T: Future<Output = ()> + 'static>(
        kind: BackendKind,
        builder: Builder,
        task: impl FnOnce(Meter) -> T + Send + 'static,
    ) -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            run(kind, async {
                let mut server = builder.start().unwrap();
                tell.send((server.addresses()[0], server.stopper())).unwrap();
                let task = spawn(task(server.meter()));
                server.run().await.unwrap();
                task.cancel();
                server.counters()
            })
        });
        let (address, stopper) = told.recv().expect("the server has started");
        Self { address, stopper, thread: Some(thread) }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::over(TcpStream::connect(self.address).unwrap())
    }

    /// Waits until it has ended, of whatever cause.
    pub(crate) fn ended(mut self) -> (Counters, ukevent_queue::Counters) {
        self.thread.take().unwrap().join().unwrap()
    }

    pub(crate) fn stop(self) -> (Counters, ukevent_queue::Counters) {
        self.stopper.stop();
        self.ended()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stopper.stop();
            self.stopper.stop();
            let _ = thread.join();
        }
    }
}

/// A client's connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    rest: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) content: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head["HTTP/1.1 ".len()..][..3].parse().unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Client {
    pub(crate) fn over(stream: TcpStream) -> Self {
        // Only so that a failure is not for ever.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream, rest: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.answer()
    }

    /// The next answer, to anything but HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        let answer = self.head();
        let len = answer.field("Content-Length").map_or(0, |len| len.parse().unwrap());
        while self.rest.len() < len {
            assert!(self.read() > 0, "an end within an answer");
        }
        Answer { content: self.rest.drain(..len).collect(), ..answer }
    }

    /// The status of what is answered; nothing, if that is the end.
    pub(crate) fn get_or_none(&mut self, path: &str) -> Option<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        self.stream.write_all(request.as_bytes()).ok()?;
        while !self.rest.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut buffer = [0; 4096];
            let bytes = read(&mut self.stream, &mut buffer).ok().filter(|&bytes| bytes > 0)?;
            self.rest.extend_from_slice(&buffer[..bytes]);
        }
        Some(self.answer().status())
    }

    /// The next answer, to HEAD.
    pub(crate) fn head(&mut self) -> Answer {
        let end = loop {
            match self.rest.windows(4).position(|end| end == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => assert!(self.read() > 0, "an end where an answer was due"),
            }
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        Answer { head, content: Vec::new() }
    }

    /// Reads once, and says how much came.
    pub(crate) fn read(&mut self) -> usize {
        let mut buffer = [0; 65536];
        let bytes = read(&mut self.stream, &mut buffer).unwrap();
        self.rest.extend_from_slice(&buffer[..bytes]);
        bytes
    }

    /// Whether the server has closed, and nothing but that is left to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        assert!(self.rest.is_empty(), "{:?} came", String::from_utf8_lossy(&self.rest));
        matches!(read(&mut self.stream, &mut [0]), Ok(0))
    }
}

/// Reads, whatever interrupts it: a read with a time-out is not restarted by the kernel.
pub(crate) fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
