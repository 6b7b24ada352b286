//! `memory`: what a connection that does nothing costs the server, in user memory.
//!
//! A round starts the server in a process of its own, opens a few connections, looks at its memory,
//! opens 16,000 more, and looks again: the difference, for each. Every connection makes one exchange
//! before, and one after, which is counted: it is open, and served. All of what a server has, the memory
//! that it took before it had connections included, is shown besides. Memory is what /proc/PID/smaps_rollup
//! calls anonymous and shared: heap and stacks, without the program's file; resident is all of it.

use super::echo::{Echo, Endpoint, MESSAGE_BYTES};
use super::server::{self, Program, Server, Site};
use crate::rivals::{tokio_echo::Tokio, ukevent_echo::UkeventEcho};
use crate::tools::is_installed;
use clap::ValueEnum;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use ukevent_bench::contenders::ukevent::{Epoll, IoUring};
use ukevent_measure::Result;
use ukevent_measure::cores::Cores;
use ukevent_measure::memory::Memory;
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Sample, alternate};

/// The echo servers that this program is, when it is told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EchoChild {
    UkeventIoUring,
    UkeventEpoll,
    Tokio,
}

impl EchoChild {
    /// Serves until it is ended.
    pub(crate) fn serve(self, address: SocketAddr) -> Result<()> {
        let serve = match self {
            Self::UkeventIoUring => UkeventEcho::<IoUring>::serve,
            Self::UkeventEpoll => UkeventEcho::<Epoll>::serve,
            Self::Tokio => Tokio::serve,
        };
        serve(&Endpoint::Tcp(address), MOST)
    }
}

/// Connections before the first look.
const FIRST: usize = 64;
/// More than there will be.
const MOST: usize = 20_000;
const FILE_BYTES: usize = 128;

struct Setup {
    idle: usize,
    folder: TempDir,
    site: Site,
    server_core: usize,
    client_core: usize,
}

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let (Some(site), Some(client_core)) =
        (Site::new("memory", cores, &[FILE_BYTES])?, cores.second())
    else {
        return Ok(());
    };
    let setup = Setup {
        idle: plan.size(16_000, 200),
        folder: tempfile::tempdir()?,
        site,
        server_core: cores.first(),
        client_core,
    };
    let mut contenders = vec![
        Contender { name: "ukevent io_uring", round: |it| echo(it, EchoChild::UkeventIoUring) },
        Contender { name: "ukevent epoll", round: |it| echo(it, EchoChild::UkeventEpoll) },
        Contender { name: "tokio, 2 KiB each", round: |it| echo(it, EchoChild::Tokio) },
        Contender { name: "ukevent serve", round: |it| files(it, Program::Ukevent("io_uring")) },
    ];
    if is_installed("nginx") {
        contenders.push(Contender { name: "nginx", round: |it| files(it, Program::Nginx) });
    } else {
        eprintln!("SKIPPED: nginx is not installed, so memory goes without it");
    }
    alternate(plan, "memory", &contenders, &setup, outcomes);
    Ok(())
}

fn echo(setup: &Setup, child: EchoChild) -> Result<Vec<Sample>> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let name = child.to_possible_value().ok_or("a child without a name")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--echo-child").arg(name.get_name()).arg("--listen").arg(address.to_string());
    let words = setup.folder.path().join("stderr");
    let cores = (setup.server_core, setup.client_core);
    let server = server::launch(command, address, cores, &words)?;
    measure(setup, &server, |streams| streams.iter_mut().try_for_each(exchange))
}

/// Sends a message and awaits it.
fn exchange(stream: &mut TcpStream) -> Result<()> {
    let message = [7; MESSAGE_BYTES];
    let mut answer = [0; MESSAGE_BYTES];
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(&message)?;
    stream.read_exact(&mut answer)?;
    if answer == message { Ok(()) } else { Err("a message came back changed".into()) }
}

fn files(setup: &Setup, program: Program) -> Result<Vec<Sample>> {
    let server = setup.site.start(program)?;
    measure(setup, &server, |streams| server.ask_each(FILE_BYTES, streams))
}

fn measure(
    setup: &Setup,
    server: &Server,
    ask: impl Fn(&mut [TcpStream]) -> Result<()>,
) -> Result<Vec<Sample>> {
    let mut streams = Vec::with_capacity(FIRST + setup.idle);
    let open_to = |count: usize, streams: &mut Vec<TcpStream>| -> Result<()> {
        while streams.len() < count {
            streams.push(server.connect(streams.len())?);
            let last = streams.len() - 1;
            ask(&mut streams[last..])?;
        }
        Ok(())
    };
    open_to(FIRST, &mut streams)?;
    let before = Memory::of(server.id())?;
    open_to(FIRST + setup.idle, &mut streams)?;
    let after = Memory::of(server.id())?;
    ask(&mut streams)?;
    let sample = |measure: &str, before: u64, after: u64| {
        let kib = (after as f64 - before as f64) / setup.idle as f64;
        Sample::figure("KiB/connection", kib)
            .counted((FIRST + setup.idle) as u64, streams.len() as u64)
            .with("measure", measure)
            .with("idle", setup.idle)
    };
    Ok(vec![
        sample("private", before.private_kib, after.private_kib),
        sample("private, all of it", 0, after.private_kib),
        sample("resident", before.resident_kib, after.resident_kib),
    ])
}
