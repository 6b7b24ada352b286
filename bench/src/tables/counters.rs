//! What a server says of itself, to be held against what a load says of it.
//!
//! `ukevent serve` has counters for Prometheus (`--metrics`), nginx a page of its module `stub_status`.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use ukevent_measure::Result;

/// Where a server tells what it did.
#[derive(Debug)]
pub(crate) struct Counters {
    address: SocketAddrV4,
    path: &'static str,
    read: fn(&str) -> Option<Counted>,
    /// Who asks is counted, too.
    is_counted: bool,
    /// How often it was asked.
    asked: AtomicU64,
}

/// What it did so far. Being asked for it is not in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counted {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// Connections that were accepted.
    pub(crate) accepted: u64,
    /// Connections that are open.
    pub(crate) open: u64,
}

impl Counters {
    pub(crate) fn ukevent(address: SocketAddrV4) -> Self {
        Self {
            address,
            path: "/metrics",
            read: read_metrics,
            is_counted: false,
            asked: AtomicU64::new(0),
        }
    }

    pub(crate) fn nginx(address: SocketAddrV4) -> Self {
        let asked = AtomicU64::new(0);
        Self { address, path: "/", read: read_stub_status, is_counted: true, asked }
    }

    /// Asks.
    pub(crate) fn ask(&self) -> Result<Counted> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let host = self.address;
        write!(stream, "GET {} HTTP/1.0\r\nHost: {host}\r\n\r\n", self.path)?;
        let mut words = String::new();
        stream.read_to_string(&mut words)?;
        let counted = (self.read)(&words).ok_or_else(|| format!("no counters: {words}"))?;
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(if self.is_counted { counted.without(asked) } else { counted })
    }
}

impl Counted {
    /// So many times somebody asked for this, of whom one is connected now.
    const fn without(self, asked: u64) -> Self {
        Self {
            requests: self.requests.saturating_sub(asked),
            accepted: self.accepted.saturating_sub(asked),
            open: self.open.saturating_sub(1),
        }
    }
}

/// Reads the counters of `ukevent serve`, in which those who ask for them are none.
fn read_metrics(words: &str) -> Option<Counted> {
    let value = |name: &str| {
        let mut lines = words.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(it, _)| *it == name)?.1.trim().parse().ok()
    };
    Some(Counted {
        requests: value("ukevent_http_requests_total")?,
        accepted: value("ukevent_http_connections_accepted_total")?,
        open: value("ukevent_http_connections_open")?,
    })
}

/// Reads nginx's page, in which those who ask for it are, too.
fn read_stub_status(words: &str) -> Option<Counted> {
    let open = words.lines().find_map(|line| line.strip_prefix("Active connections:"))?;
    let totals = words.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1)?;
    let mut totals = totals.split_whitespace().map(str::parse);
    let (accepted, _handled, requests) =
        (totals.next()?.ok()?, totals.next()?.ok()?, totals.next()?.ok()?);
    Some(Counted { requests, accepted, open: open.trim().parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::{Counted, read_metrics, read_stub_status};

    #[test]
    fn reads_what_ukevent_says() {
        let words = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n\
                     # HELP ukevent_http_requests_total Requests that were answered.\n\
                     # TYPE ukevent_http_requests_total counter\nukevent_http_requests_total 41\n\
                     ukevent_http_connections_open 3\nukevent_http_connections_accepted_total 5\n";
        let counted = Counted { requests: 41, accepted: 5, open: 3 };
        assert_eq!(read_metrics(words), Some(counted));
        assert_eq!(read_metrics("HTTP/1.1 404 Not Found\r\n\r\n"), None);
    }

    #[test]
    fn reads_what_nginx_says_without_who_asked() {
        let words = "HTTP/1.1 200 OK\r\n\r\nActive connections: 2 \n\
                     server accepts handled requests\n 7 7 103 \n\
                     Reading: 0 Writing: 1 Waiting: 1 \n";
        let counted = read_stub_status(words).unwrap();
        assert_eq!(counted, Counted { requests: 103, accepted: 7, open: 2 });
        assert_eq!(counted.without(2), Counted { requests: 101, accepted: 5, open: 1 });
        assert_eq!(read_stub_status("HTTP/1.1 404 Not Found\r\n\r\n"), None);
    }
}
