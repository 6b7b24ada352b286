//! Every bound of the server, in one place.
//!
//! What is unbounded is a way to be put out of service: each buffer, count and wait of this crate
//! has its limit here, and reaching one has an answer that the peer can read.

use crate::{
    addresses::{Addresses, PerAddress, Rate, shards::Shards},
    pace::LeastRate,
};
use std::time::Duration;

/// The bounds of a server, of all its threads together.
///
/// All have defaults that suit a public server; set what differs:
///
/// ```
/// use std::time::Duration;
/// use ukevent_http::Limits;
///
/// let limits = Limits { connections: 100, idle: Duration::from_secs(5), ..Limits::default() };
/// assert_eq!(limits.head_bytes, 16 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at a time. One more is answered 503 and closed. Default: 10,000.
    ///
    /// A connection at rest holds no buffer. One whose peer takes nothing may hold 36 KiB of answers and
    /// 94 KiB of what it sent behind them, for as long as [`Limits::stall`] lets it: 16 pieces of 4 KiB
    /// that nobody has asked for yet, and one of those behind a head that is not whole, in a buffer up to
    /// half larger. This number times that is the memory to reckon with. Where directories are listed
    /// ([`Builder::listing`](crate::Builder::listing)), a list is memory, too, until it has left: of 4096
    /// names of 30 letters half a megabyte, of the longest names there can be 9 MiB.
    pub connections: usize,
    /// Bytes of a request line, its end included. Longer: 414. Default: 8 KiB.
    pub line_bytes: usize,
    /// Bytes of a whole head. Longer: 431. Default: 16 KiB.
    pub head_bytes: usize,
    /// Bytes of a request's body, which is read and thrown away. Longer: 413. For a chunked body
    /// the bound holds for what is on the wire, chunk headers and trailers included.
    /// Default: 64 KiB.
    pub body_bytes: u64,
    /// From the first byte of a request, or the start of the connection, until its head is whole.
    /// Over: 408. Default: 10 s.
    pub head: Duration,
    /// From the end of a head until its body is whole. Over: 408. Default: 30 s.
    pub body: Duration,
    /// How long a connection may rest between requests before it is closed. Default: 60 s.
    pub idle: Duration,
    /// How long a peer may take nothing of an answer before the connection is dropped; it is looked at
    /// four times as often, so it may be a quarter longer. Default: 30 s.
    pub stall: Duration,
    /// How long the server reads on after it has ended a connection, so that its last answer is not
    /// lost to a reset (RFC 9112, 9.6). Default: 2 s.
    pub linger: Duration,
    /// How long requests that are being answered may take to finish once the server was told to
    /// end. Default: 10 s.
    pub grace: Duration,
    /// Bytes a second at which a head or a body must come once it has begun, after [`Limits::slow`].
    /// Slower: 408. Default: 0, any.
    pub least_rate: u32,
    /// How far a peer may be behind that rate. Default: 5 s.
    pub slow: Duration,
    /// Connections of one address at a time; of IPv6 one /64 is an address. One more is answered 503 and
    /// closed, or just closed while 64 others are told so; and so for the next. Default: 0, any.
    pub address_connections: u32,
    /// New connections of one address a second in the long run; ten times as many at once. Default: 0, any.
    pub address_rate: u32,
    /// Requests of one address a second in the long run; ten times as many at once. More: 429, and closed.
    /// Default: 0, any.
    pub address_requests: u32,
}

/// Header fields of a request. More: 431.
pub(crate) const FIELDS: usize = 100;

/// Answers are gathered up to this many bytes before they are sent, and no further request of the
/// connection is looked at until they are. The last of them may go beyond it by its head and a small
/// file, so the heap that one send holds is at most this, [`SMALL_FILE_BYTES`] and a head, rounded up
/// to 4 KiB: 36 KiB.
pub(crate) const GATHER_BYTES: usize = 16 * 1024;

/// A file of up to this many bytes is answered from memory, a larger one by sendfile(2).
pub(crate) const SMALL_FILE_BYTES: u64 = 16 * 1024;

/// Files that are kept at hand by a thread, at most, and bytes of memory that they may hold.
pub(crate) const CACHED_FILES: usize = 1024;
pub(crate) const CACHED_BYTES: usize = 16 << 20;

/// Directories that are watched for the sake of the files at hand, at most.
pub(crate) const WATCHED_DIRECTORIES: usize = 1024;

/// Threads that wait for the disk, at most; so many for each thread that serves.
pub(crate) const LOADERS: usize = 4;

/// Connections beyond a limit that may be on their way out with a 503, divided among the threads. With so many, one
/// beyond its address's share is closed without a word, and a server that is full stops accepting until one is gone.
pub(crate) const REFUSED_CONNECTIONS: usize = 64;

/// Bytes of a frame that is sent from: a head and a small file. Larger batches are sent from the heap.
pub(crate) const SEND_BYTES: usize = 20 * 1024;

/// How long a connection that may leave its thread rests on it first. Who is at work asks again after a round trip and
/// some work of its own, which within a continent is over by then; so only those leave who do rest. To leave and
/// come back costs some 50 µs of CPU (measured, with two threads), as much as a few requests: this long, one
/// connection cannot cost more than half a thousandth of a core by it.
pub(crate) const REST_ON_THREAD: Duration = Duration::from_millis(100);

/// Frames that are sent from; with all of them in use the heap is asked.
pub(crate) const SEND_FRAMES: u32 = 256;

/// Bytes that one connection hands over at a time, so that the others get their turn.
pub(crate) const TURN_BYTES: u64 = 1 << 20;

/// How often a peer is looked at within [`Limits::stall`] while it has an answer to take.
pub(crate) const STALL_LOOKS: u32 = 4;

/// Bytes that a connection in its end throws away before it is closed for good.
pub(crate) const LINGER_BYTES: u64 = 1 << 20;

/// Addresses that are remembered at a time, at most.
const ADDRESSES: usize = 16 * 1024;

/// A burst is so many times what comes in a second.
const BURST: u32 = 10;

impl Limits {
    pub(crate) const fn rate(&self) -> LeastRate {
        LeastRate { bytes_per_s: self.least_rate, grace: self.slow }
    }

    /// What keeps count of addresses, if anything is asked of them.
    pub(crate) fn addresses(&self) -> Option<Addresses> {
        self.per_address().map(|limits| Addresses::new(limits, ADDRESSES))
    }

    /// The same for several threads.
    pub(crate) fn shards(&self) -> Option<Shards> {
        self.per_address().map(|limits| Shards::new(limits, ADDRESSES))
    }

    fn per_address(&self) -> Option<PerAddress> {
        let rate =
            |per_s: u32| (per_s > 0).then(|| Rate { burst: per_s.saturating_mul(BURST), per_s });
        let limits = PerAddress {
            open: (self.address_connections > 0).then_some(self.address_connections),
            connections: rate(self.address_rate),
            requests: rate(self.address_requests),
        };
        (limits != PerAddress::default()).then_some(limits)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            line_bytes: 8 * 1024,
            head_bytes: 16 * 1024,
            body_bytes: 64 * 1024,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            grace: Duration::from_secs(10),
            least_rate: 0,
            slow: Duration::from_secs(5),
            address_connections: 0,
            address_rate: 0,
            address_requests: 0,
        }
    }
}
