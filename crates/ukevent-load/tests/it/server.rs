//! Servers that do what they are told, each connection in a thread.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use ukevent_load::{Length, Load, Pace, Plan, Record, Target};
use ukevent_task::block_on;

/// A server for the length of a test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Connections that came.
    pub(crate) accepted: Arc<AtomicU64>,
}

impl Server {
    /// Gives each connection to this.
    pub(crate) fn of(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicU64::new(0));
        let (counted, serve) = (Arc::clone(&accepted), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, accepted }
    }

    /// Answers each request with these bytes.
    pub(crate) fn answering(reply: &'static str) -> Self {
        Self::of(
            move |mut stream| {
                while request(&stream).is_some() && stream.write_all(reply.as_bytes()).is_ok() {}
            },
        )
    }

    pub(crate) fn target(&self) -> Target {
        format!("http://{}/", self.address).parse().unwrap()
    }
}

/// The next request's first line, when all of its head is there.
pub(crate) fn request(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::with_capacity(1, stream).lines();
    let first = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    Some(first)
}

/// A plan of so many requests, one after the other.
pub(crate) fn plan(target: Target, requests: u64) -> Plan {
    let pace = Pace::Closed { connections: 1, pipeline: 1, think: std::time::Duration::ZERO };
    Plan { pace, length: Length::Requests(requests), ..Plan::new(target) }
}

/// What it came to.
pub(crate) fn load(plan: Plan) -> Record {
    let record = any_load(plan);
    assert_eq!(record.requests, record.replies + record.errors.total(), "{record:?}");
    record
}

/// What it came to, where a server may say more than it was asked.
pub(crate) fn any_load(plan: Plan) -> Record {
    block_on(async { Load::prepare(plan).await.unwrap().run(|_| ()).await }).unwrap()
}
