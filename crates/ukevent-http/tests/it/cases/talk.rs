//! Asks over many connections at once, in pieces, and reads what comes back until the end.
//!
//! Behind each request stands a probe: a request that is known to be answered, and asks for the end. Its
//! answer says that the connection had stayed. So nothing is waited for but ends of connections.

use rustix::net::sockopt::set_socket_linger;
use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};
use ukevent_sys::socket;

/// The content of `/probe.txt`.
pub(super) const PROBE: &str = "the connection stayed";

const PROBE_REQUEST: &[u8] = b"GET /probe.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// What came back.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// But for that to the probe.
    pub(super) answers: Vec<Answer>,
    pub(super) stays: bool,
    /// The connection ended by a reset.
    pub(super) was_reset: bool,
}

/// An answer.
#[derive(Clone)]
pub(super) struct Answer {
    /// 9 for one without a head.
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) content: Vec<u8>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.content[..self.content.len().min(60)];
        write!(f, "{:?} {:?}", self.head, String::from_utf8_lossy(shown))
    }
}

impl Answer {
    /// The value of a field; proxies write names in small letters.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Reads an answer off the beginning.
    fn take(bytes: &mut &[u8], is_head: bool) -> Option<Self> {
        let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
            let whole = std::mem::take(bytes);
            return (!whole.is_empty()).then(|| Self {
                status: 9,
                head: String::new(),
                content: whole.to_vec(),
            });
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.get("HTTP/1.1 ".len()..).and_then(|rest| rest.get(..3)?.parse().ok());
        let mut answer = Self { status: status.unwrap_or(9), head, content: Vec::new() };
        *bytes = &bytes[end + 4..];
        let has_none = is_head || matches!(answer.status, 100..200 | 204 | 304);
        let len = match answer.field("Content-Length").map(str::parse) {
            _ if has_none => 0,
            Some(Ok(len)) => bytes.len().min(len),
            _ => bytes.len(),
        };
        answer.content = bytes[..len].to_vec();
        *bytes = &bytes[len..];
        Some(answer)
    }
}

/// Sends each request over a connection of its own, piece by piece, all first pieces before any second.
/// `heads` says which answers of each answer a HEAD.
pub(super) fn talk(address: SocketAddr, requests: &[Vec<&[u8]>], heads: &[bool]) -> Vec<Outcome> {
    let mut streams: Vec<_> = requests.iter().map(|_| connect(address)).collect();
    let rounds = requests.iter().map(Vec::len).max().unwrap_or(0);
    for round in 0..rounds {
        if round > 0 {
            streams.iter().for_each(wait_until_taken);
        }
        for (stream, pieces) in streams.iter_mut().zip(requests) {
            let Some(piece) = pieces.get(round) else { continue };
            // With the last piece, so that no answer depends on which of them came first.
            let probe = if round + 1 == pieces.len() { PROBE_REQUEST } else { b"" };
            // Whoever was refused in the middle has closed.
            let _ = stream.write_all(&[piece, probe].concat());
        }
    }
    streams.iter_mut().map(|stream| outcome(stream, heads)).collect()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    // Only so that a failure is not for ever.
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // So that nothing is left of it: there are many.
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    stream
}

/// Waits until what was sent has reached the peer, and lets it work.
fn wait_until_taken(stream: &TcpStream) {
    while socket::unsent_bytes(stream).is_ok_and(|left| left.is_some_and(|bytes| bytes > 0)) {
        thread::yield_now();
    }
    thread::yield_now();
}

fn outcome(stream: &mut TcpStream, heads: &[bool]) -> Outcome {
    let (mut came, mut buffer) = (Vec::new(), [0; 65536]);
    let was_reset = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break false,
            Ok(bytes) => came.extend_from_slice(&buffer[..bytes]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break true,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&came)),
        }
    };
    let (mut rest, mut answers) = (&came[..], Vec::new());
    while let Some(answer) =
        Answer::take(&mut rest, heads.get(answers.len()).copied().unwrap_or(false))
    {
        answers.push(answer);
    }
    let stays = answers.pop_if(|last| last.content == PROBE.as_bytes()).is_some();
    Outcome { answers, stays, was_reset }
}
