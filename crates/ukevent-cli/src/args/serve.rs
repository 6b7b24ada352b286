//! `ukevent serve`: its flags. Every bound of the server is one of them.

use crate::units::{Size, Time};
use clap::{ArgAction, Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::available_parallelism;
use ukevent::BackendKind;
use ukevent_http::{Limits, Listen};

/// Serve the files of a directory over HTTP.
///
/// Answers GET and HEAD on one thread and one queue, or on as many of both as are asked for: keep-alive
/// and pipelining, conditional requests, byte ranges. Without a directory it shows a page about itself.
/// Ctrl-C and SIGTERM end it when the answers that were begun are sent, at the second time at once; one
/// that is ignored at the start, as in the background of a script, stays ignored.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub(crate) struct ServeArgs {
    /// The directory; names that begin with a dot are not served
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,

    /// Listen here, or at unix:PATH; several times for several places; port 0 lets the kernel choose;
    /// nowhere by default if there is --listen-tls or a socket that was inherited
    /// [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = place, action = ArgAction::Append)]
    pub(crate) listen: Vec<Listen>,

    /// Listen here with TLS
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        value_parser = place,
        action = ArgAction::Append,
        requires = "tls_cert",
    )]
    pub(crate) listen_tls: Vec<Listen>,

    /// The certificate for TLS and those that lead to a known one, in a PEM file; read again when it
    /// changes
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "listen_tls"])]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Its private key, in a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Share the ports with other servers that do so too
    #[arg(long)]
    pub(crate) share_port: bool,

    /// Serve on so many threads, each with a queue of its own, see --queue: 1 to 1024, or auto for as many as there are
    /// cores to use; bounds are of all together, what is kept of files is kept by each
    #[arg(long, value_name = "N", value_parser = threads, default_value = "1")]
    pub(crate) threads: usize,

    /// How connections come to several threads
    #[arg(long, value_name = "SHAPE", default_value = "own")]
    pub(crate) queue: QueueArg,

    /// Use this backend, not the best that the kernel allows
    #[arg(long, value_name = "NAME", value_parser = super::backend())]
    pub(crate) backend: Option<BackendKind>,

    /// Serve FILE.br, FILE.zst or FILE.gz for FILE to those who accept it
    #[arg(long)]
    pub(crate) precompressed: bool,

    /// List directories that have no index.html
    #[arg(long)]
    pub(crate) list: bool,

    /// Log requests here, or to standard output if it is -
    #[arg(long, value_name = "FILE")]
    pub(crate) access_log: Option<PathBuf>,

    /// How the log looks
    #[arg(long, value_name = "FORMAT", default_value = "combined", requires = "access_log")]
    pub(crate) log_format: LogFormat,

    /// Show the counters to Prometheus here, at /metrics
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = place)]
    pub(crate) metrics: Option<Listen>,

    #[command(flatten)]
    pub(crate) bounds: Bounds,
}

/// How connections come to the threads.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum QueueArg {
    /// To each thread's own queue, spread by the kernel or given in turn
    Own,
    /// By one queue that all threads share, to whichever has time; those at rest go back there
    Shared,
}

/// How an access log looks.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum LogFormat {
    /// As Apache and NCSA have it
    Common,
    /// The same with referer and user agent
    Combined,
    /// An object a line, with the time that it took
    Json,
}

/// The bounds.
#[derive(Args, Debug)]
#[command(next_help_heading = "Bounds")]
pub(crate) struct Bounds {
    /// Connections at a time, about 1.5 KiB of memory each at rest; one more is answered 503
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections)]
    connections: usize,

    /// Bytes of a request line; longer is answered 414
    #[arg(long, value_name = "SIZE", default_value_t = Size::of(Limits::default().line_bytes))]
    line_bytes: Size,

    /// Bytes of a whole head; longer is answered 431
    #[arg(long, value_name = "SIZE", default_value_t = Size::of(Limits::default().head_bytes))]
    head_bytes: Size,

    /// Bytes of a body, which is thrown away; longer is answered 413
    #[arg(long, value_name = "SIZE", default_value_t = Size(Limits::default().body_bytes))]
    body_bytes: Size,

    /// Time for a head; over, 408
    #[arg(long, value_name = "TIME", default_value_t = Time(Limits::default().head))]
    head_time: Time,

    /// Time for a body; over, 408
    #[arg(long, value_name = "TIME", default_value_t = Time(Limits::default().body))]
    body_time: Time,

    /// Rest between two requests
    #[arg(long, value_name = "TIME", default_value_t = Time(Limits::default().idle))]
    idle_time: Time,

    /// Time in which a peer may take nothing of its answer
    #[arg(long, value_name = "TIME", default_value_t = Time(Limits::default().stall))]
    stall_time: Time,

    /// Time to read on after a connection was ended, so that its answer arrives
    #[arg(long, value_name = "TIME", default_value_t = Time(Limits::default().linger))]
    linger_time: Time,

    /// Bytes a second at which a head or body must come once it has begun; slower, 408; 0 is any
    #[arg(long, value_name = "SIZE", default_value_t = Size::of(Limits::default().least_rate as usize))]
    least_rate: Size,

    /// How far a peer may be behind that
    #[arg(long, value_name = "TIME", default_value_t = Time(Limits::default().slow))]
    slow_time: Time,

    /// Connections of one address at a time; one more is answered 503; 0 is any
    #[arg(long, value_name = "N", default_value_t = Limits::default().address_connections)]
    address_connections: u32,

    /// New connections of one address a second, ten times as many at once; 0 is any
    #[arg(long, value_name = "N", default_value_t = Limits::default().address_rate)]
    address_rate: u32,

    /// Requests of one address a second, ten times as many at once; more are answered 429; 0 is any
    #[arg(long, value_name = "N", default_value_t = Limits::default().address_requests)]
    address_requests: u32,

    /// Time to finish answers in at the end
    #[arg(long, value_name = "TIME", default_value_t = Time(Limits::default().grace))]
    grace_time: Time,
}

impl Bounds {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            connections: self.connections,
            line_bytes: self.line_bytes.in_memory(),
            head_bytes: self.head_bytes.in_memory(),
            body_bytes: self.body_bytes.0,
            head: self.head_time.0,
            body: self.body_time.0,
            idle: self.idle_time.0,
            stall: self.stall_time.0,
            linger: self.linger_time.0,
            grace: self.grace_time.0,
            least_rate: u32::try_from(self.least_rate.0).unwrap_or(u32::MAX),
            slow: self.slow_time.0,
            address_connections: self.address_connections,
            address_rate: self.address_rate,
            address_requests: self.address_requests,
        }
    }
}

/// Threads, at most.
const THREADS: usize = 1024;

fn threads(text: &str) -> Result<usize, String> {
    if text == "auto" {
        let cores = available_parallelism().map_err(|error| {
            format!("how many cores there are to use is not known: {error}; write a number")
        })?;
        return Ok(cores.get().min(THREADS));
    }
    let count = text.parse().ok().filter(|count| (1..=THREADS).contains(count));
    count.ok_or_else(|| format!("write a number from 1 to {THREADS}, or auto"))
}

fn place(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        return Ok(Listen::Unix(path.into()));
    }
    text.parse::<SocketAddr>().map(Listen::Tcp).map_err(|_| {
        "write ADDRESS:PORT, such as 127.0.0.1:8080, [::]:80 or 0.0.0.0:80 for all; or unix:PATH"
            .to_owned()
    })
}

const EXAMPLES: &str = "\
Examples:
  ukevent serve
  ukevent serve --root target/doc
  ukevent serve --root /srv/www --listen 0.0.0.0:80 --listen [::]:80
  ukevent serve --root /srv/www --threads auto
  ukevent serve --root /srv/www --threads auto --queue shared
  ukevent serve --root /srv/www --listen-tls 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem
  systemd-socket-activate -l 8080 ukevent serve

Sizes are bytes, or 16K or 1M for 1024 times as many; times are 500ms, 10s, 1m.";
