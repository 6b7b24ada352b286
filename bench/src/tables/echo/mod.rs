//! `echo`: 64 bytes to and fro, over TCP and Unix sockets.
//!
//! A round starts the server on a thread of its own, opens the connections, lets each have one message
//! on its way at a time, and ends when so many came back. The load is a bare ring on the other core,
//! the same for all: it makes every message up anew and compares what comes back byte by byte. What
//! the server costs is what the process used, less what the load's thread did: a thread that a library
//! starts besides counts too.

mod load;
pub(crate) mod pingpong;

use crate::rivals::{
    compio::Compio, epoll_echo::EpollEcho, glommio::Glommio, monoio::Monoio, ring_echo::RingEcho,
    tokio_echo::Tokio, ukevent_echo::UkeventEcho, ukevent_task_echo::UkeventTaskEcho,
};
use crate::system_calls::SystemCalls;
use load::Load;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ukevent_bench::contenders::ukevent::{Epoll, IoUring};
use ukevent_measure::Result;
use ukevent_measure::clock::{now_ns, process_cpu_ns, thread_cpu_ns};
use ukevent_measure::cores::{Cores, pin};
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Sample, alternate};

/// Bytes of a message.
pub(crate) const MESSAGE_BYTES: usize = 64;
/// The most that a server reads at once: it knows nothing of the size of the messages.
pub(crate) const READ_BYTES: usize = 2048;

/// How many buffers a server has that shares them: one for each connection whose message is being
/// answered, and as many that have not come back. More would only leave the cache.
pub(crate) fn shared_buffers(connections: usize) -> u16 {
    (connections * 2).next_power_of_two().clamp(64, 1024) as u16
}

/// A contender; lives on the server's thread.
pub(crate) trait Echo {
    /// Listens, accepts so many connections, sends back what comes, and returns when all of them have
    /// ended.
    fn serve(endpoint: &Endpoint, connections: usize) -> Result<()>;
}

/// Where to listen.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// For who listens as the standard library does.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Endpoint {
    /// Listens, without blocking. Connections have no delay: they have that of the listener.
    pub(crate) fn listen(&self) -> Result<Listener> {
        match self {
            Self::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
                // The standard library's line is shorter than 256.
                rustix::net::listen(&listener, 4096)?;
                Ok(Listener::Tcp(listener))
            }
            Self::Unix(path) => {
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                rustix::net::listen(&listener, 4096)?;
                Ok(Listener::Unix(listener))
            }
        }
    }

    /// Connects, as soon as somebody listens.
    fn connect(&self, until: Instant) -> Result<OwnedFd> {
        loop {
            let connected = match self {
                Self::Tcp(address) => TcpStream::connect(address).and_then(|stream| {
                    stream.set_nodelay(true)?;
                    Ok(OwnedFd::from(stream))
                }),
                Self::Unix(path) => UnixStream::connect(path).map(OwnedFd::from),
            };
            match connected {
                Ok(socket) => return Ok(socket),
                Err(error) if Instant::now() > until => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> Self {
        match listener {
            Listener::Tcp(listener) => listener.into(),
            Listener::Unix(listener) => listener.into(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Tcp,
    Unix,
}

impl Family {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Unix => "Unix",
        }
    }
}

struct Setup {
    family: Family,
    connections: usize,
    echoes: u64,
    server_core: usize,
    load_core: usize,
    folder: TempDir,
}

impl Setup {
    /// A place where nobody listens yet.
    fn endpoint(&self) -> Result<Endpoint> {
        Ok(match self.family {
            Family::Tcp => {
                Endpoint::Tcp(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
            }
            Family::Unix => {
                let path = self.folder.path().join("socket");
                // That of the round before.
                let _ = std::fs::remove_file(&path);
                Endpoint::Unix(path)
            }
        })
    }
}

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let Some(load_core) = cores.second() else {
        eprintln!("SKIPPED: echo takes two cores, one for the server and one for the load");
        return Ok(());
    };
    if !plan.has("bare ring") {
        eprintln!("SKIPPED: echo, whose load is a bare ring");
        return Ok(());
    }
    for family in [Family::Tcp, Family::Unix] {
        for connections in [1, 64, 256] {
            let echoes = match connections {
                1 => plan.size(20_000, 200),
                _ => plan.size(200_000, 2_000),
            };
            let setup = Setup {
                family,
                connections,
                echoes,
                server_core: cores.first(),
                load_core,
                folder: tempfile::tempdir()?,
            };
            alternate(plan, "echo", &contenders(), &setup, outcomes);
        }
    }
    Ok(())
}

fn contenders() -> Vec<Contender<Setup>> {
    vec![
        Contender { name: "ukevent io_uring", round: round::<UkeventEcho<IoUring>> },
        Contender { name: "ukevent-task", round: round::<UkeventTaskEcho> },
        Contender { name: "bare ring", round: round::<RingEcho> },
        Contender { name: "ukevent epoll", round: round::<UkeventEcho<Epoll>> },
        Contender { name: "bare epoll", round: round::<EpollEcho> },
        Contender { name: "tokio", round: round::<Tokio> },
        Contender { name: "monoio", round: round::<Monoio> },
        Contender { name: "compio", round: round::<Compio> },
        Contender { name: "glommio", round: round::<Glommio> },
    ]
}

fn round<E: Echo>(setup: &Setup) -> Result<Vec<Sample>> {
    let Measured { wall_ns, cpu_ns, calls, echoes } =
        with_server::<E, _, _>(setup, SystemCalls::of_this_thread, |endpoint, mut calls| {
            measure(setup, endpoint, calls.as_mut())
        })?;
    let sample = |measure: &str, unit, value| {
        Sample::figure(unit, value)
            .counted(setup.echoes, echoes)
            .with("socket", setup.family.name())
            .with("measure", measure)
            .with("connections", setup.connections)
    };
    let each = |sum: u64| sum as f64 / echoes as f64;
    let mut samples = vec![
        sample("rate", "echoes/s", echoes as f64 * 1e9 / wall_ns as f64).cpu(each(cpu_ns)),
        sample("cpu", "ns CPU/echo", each(cpu_ns)),
    ];
    if let Some(calls) = calls {
        samples.push(sample("system calls", "system calls/echo", each(calls)));
    }
    Ok(samples)
}

/// Runs the server on a thread of its own, where `make` runs before it, and lets the load measure it.
fn with_server<E: Echo, T, M: Send + 'static>(
    setup: &Setup,
    make: impl FnOnce() -> M + Send + 'static,
    measure: impl FnOnce(&Endpoint, M) -> Result<T>,
) -> Result<T> {
    let endpoint = setup.endpoint()?;
    let (to_load, from_server) = mpsc::channel();
    pin(setup.load_core)?;
    let server = {
        let (endpoint, core, connections) =
            (endpoint.clone(), setup.server_core, setup.connections);
        std::thread::spawn(move || {
            pin(core)?;
            // The load gives up waiting when this thread has ended.
            let _ = to_load.send(make());
            E::serve(&endpoint, connections)
        })
    };
    let made = from_server.recv()?;
    let measured = measure(&endpoint, made);
    let ended = end(server);
    // If both failed, the server knows why.
    match (measured, ended) {
        (Ok(measured), Ok(())) => Ok(measured),
        (_, Err(error)) | (Err(error), Ok(())) => Err(error),
    }
}

struct Measured {
    wall_ns: u64,
    /// Of the server.
    cpu_ns: u64,
    /// Of the server, if they can be counted.
    calls: Option<u64>,
    echoes: u64,
}

fn measure(
    setup: &Setup,
    endpoint: &Endpoint,
    mut calls: Option<&mut SystemCalls>,
) -> Result<Measured> {
    let until = Instant::now() + Duration::from_secs(5);
    let sockets =
        (0..setup.connections).map(|_| endpoint.connect(until)).collect::<Result<Vec<_>>>()?;
    let mut load = Load::new(sockets)?;
    // All are accepted, and memory is there.
    load.exchange(setup.echoes / 10 + setup.connections as u64)?;
    let mut count = || calls.as_mut().map(|it| it.count()).transpose();
    let others_ns = || process_cpu_ns() - thread_cpu_ns();
    let (from_calls, from_cpu_ns, from_ns) = (count()?, others_ns(), now_ns());
    let echoes = load.exchange(setup.echoes)?;
    let (wall_ns, cpu_ns) = (now_ns() - from_ns, others_ns() - from_cpu_ns);
    let calls = count()?.zip(from_calls).map(|(now, before)| now - before);
    Ok(Measured { wall_ns, cpu_ns, calls, echoes })
}

/// Waits for the server, whose connections have ended.
fn end(server: JoinHandle<Result<()>>) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(5);
    while !server.is_finished() {
        if Instant::now() > until {
            return Err("the server does not see that its connections have ended".into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    server.join().map_err(|_| "the server panicked")?
}
