//! `ukevent serve`: the server of `ukevent-http` on a queue, and what is said about it.

use crate::advice;
use crate::args::{LogFormat, QueueArg, ServeArgs};
use crate::failure::Failure;
use crate::queue;
use crate::tell::tell;
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::available_parallelism;
use std::time::Instant;
use ukevent_http::log::Format;
use ukevent_http::{
    AccessLog, Builder, Certificate, CertificateError, Counters, Listen, LogTo, QueueShape, Server,
    StartError,
};
use ukevent_task::Runtime;

/// Serves until it is told to end. Blocks.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let limits = args.bounds.limits();
    raise_descriptors(limits.connections, args.threads);
    let queue = queue::build("serve", args.backend)?;
    let mut builder = Server::builder().limits(limits).end_by_signal();
    if args.threads > 1 {
        // The others' queues are like this one, however it was chosen.
        let others = Runtime::builder().queue(ukevent::Builder::new().backend(queue.backend()));
        // A thread that waits for a core would be told of as one that its task keeps.
        let is_crowded = available_parallelism().is_ok_and(|cores| args.threads > cores.get());
        let others = if is_crowded { others.without_stuck() } else { others };
        builder = builder.threads(args.threads, others).queue(match args.queue {
            QueueArg::Own => QueueShape::Own,
            QueueArg::Shared => QueueShape::Shared,
        });
    }
    if let Some(root) = &args.root {
        builder = builder.root(root);
    }
    if args.share_port {
        builder = builder.share_port();
    }
    if args.precompressed {
        builder = builder.precompressed();
    }
    if args.list {
        builder = builder.listing();
    }
    if let Some(path) = &args.access_log {
        let to = match path.as_os_str() == "-" {
            true => LogTo::Stdout,
            false => LogTo::File(path.clone()),
        };
        builder = builder.access_log(AccessLog { to, format: format(args.log_format) });
    }
    if let Some(place) = &args.metrics {
        builder = builder.metrics(place.clone());
    }
    let inherited = inherited()?;
    if args.listen.is_empty() && args.listen_tls.is_empty() && inherited.is_empty() {
        builder = builder.listen(SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)));
    }
    for place in args.listen.iter().cloned().chain(inherited) {
        builder = builder.listen_at(place);
    }
    for place in args.listen_tls.iter().cloned() {
        builder = builder.listen_tls(place);
    }
    if let (Some(chain), Some(key)) = (args.tls_cert.clone(), args.tls_key.clone()) {
        builder = builder.certificate(Certificate { chain, key });
    }
    let by = queue.backend_reason();
    let run = || Runtime::with(queue).block_on(serve(args, builder, &by));
    // A panic has said its words already. On its way here it has ended the other threads.
    let ended = catch_unwind(AssertUnwindSafe(run))
        .map_err(|_| Failure::Failed("serve: thread 0: panicked".to_owned()))?;
    ended.map_err(|error| Failure::Failed(format!("serve: {error}")))?
}

async fn serve(args: &ServeArgs, builder: Builder, by: &str) -> Result<(), Failure> {
    let mut server = builder.start().map_err(cannot_start)?;
    let what = args.root.as_ref().map_or("a page about itself".into(), |it| it.to_string_lossy());
    match args.threads {
        1 => tell(format_args!("serve: {what}, by {by}")),
        threads => {
            let shared = match args.queue {
                QueueArg::Own => "",
                QueueArg::Shared => " that share a queue",
            };
            tell(format_args!("serve: {what}, on {threads} threads{shared}, by {by}"));
        }
    }
    for url in server.metrics_urls() {
        // One of an address ends with a slash, a path of a socket does not.
        let between = if url.ends_with('/') { "" } else { ", at /" };
        tell(format_args!("serve: counters at {url}{between}metrics"));
    }
    print_addresses(&server);
    let begun = Instant::now();
    let ended = server.run().await;
    let Counters { requests, accepted, bytes_sent, .. } = server.counters();
    tell(format_args!(
        "serve: {requests} requests on {accepted} connections, {bytes_sent} bytes sent in {:.1?}",
        begun.elapsed()
    ));
    ended.map_err(|error| Failure::Failed(format!("serve: {error}")))
}

fn format(of: LogFormat) -> Format {
    match of {
        LogFormat::Common => Format::Common,
        LogFormat::Combined => Format::Combined,
        LogFormat::Json => Format::Json,
    }
}

/// Where it listens if nothing is said.
const DEFAULT_PORT: u16 = 8080;

/// The listening sockets that a supervisor handed over, as systemd does: `LISTEN_FDS` and `LISTEN_PID`
/// (sd_listen_fds(3)).
fn inherited() -> Result<Vec<Listen>, Failure> {
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..handed.len() {
        let tcp = handed.take_tcp_listener(index).map(|it| it.map(OwnedFd::from));
        let socket = match tcp {
            Ok(socket) => Ok(socket),
            Err(_) => handed.take_unix_listener(index).map(|it| it.map(OwnedFd::from)),
        };
        // A connection, as `Accept=yes` hands over, is a stream socket too.
        let listens = |socket: &OwnedFd| matches!(socket_acceptconn(socket), Ok(true));
        match socket {
            Ok(socket) if socket.as_ref().is_none_or(listens) => {
                sockets.extend(socket.map(Listen::from));
            }
            _ => {
                return Err(Failure::Failed(format!(
                    "serve: inherited socket {index} is no listening stream socket: hand over \
                     ListenStream= sockets only, with Accept=no"
                )));
            }
        }
    }
    Ok(sockets)
}

/// On standard output, where scripts find the port that the kernel chose. Serving does not depend on
/// their being read.
fn print_addresses(server: &Server) {
    let mut stdout = io::stdout();
    for url in server.urls() {
        let _ = writeln!(stdout, "{url}");
    }
    let _ = stdout.flush();
}

fn cannot_start(error: StartError) -> Failure {
    let said = error.to_string();
    let advice = match error {
        StartError::Listen { place: Listen::Unix(_), error } => {
            advice::on_listening_at_path(io::Error::from(error).kind())
        }
        StartError::Certificate(CertificateError::File { error, .. }) => {
            advice::on_reading_certificate(error.kind())
        }
        StartError::Listen { error, .. } => advice::on_listening(io::Error::from(error).kind()),
        StartError::Root { error, .. } => advice::on_opening(io::Error::from(error).kind()),
        _ => "",
    };
    Failure::Failed(format!("serve: {said}{advice}"))
}

/// Besides its connections each thread of a server needs descriptors for files, and a few of its own.
const OTHER_DESCRIPTORS: u64 = 2048;

/// Lets the process have the descriptors that so many connections need, if it may; else says how many
/// there will be. Having fewer is no failure: the server then pauses accepting.
fn raise_descriptors(connections: usize, threads: usize) {
    let others = OTHER_DESCRIPTORS.saturating_mul(threads as u64);
    let wanted = (connections as u64).saturating_add(others);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let allowed = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    if raised.is_err() || allowed < wanted {
        tell(format_args!(
            "serve: {connections} connections may need {wanted} descriptors and {allowed} are \
             allowed (ulimit -Hn): accepting will pause when they are used up"
        ));
    }
}
