//! The servers of the contenders, asked by hand.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};
use ukevent_bench::{
    contenders::{
        bare_serve::{BareEpollServer, BarePollServer},
        ukevent::{Epoll, IoUring, Poll},
        ukevent_serve::UkeventServer,
    },
    server::{Content, Life, Running, Serves, Site},
};
use ukevent_measure::cores::Cores;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";
const CONTENTS: [(Content, usize); 3] =
    [(Content::Memory, 3_931), (Content::Read, 3_931), (Content::SendFile, 3_931)];

fn start<S: Serves>(life: Life) -> Running {
    let site = Site::new(life, &CONTENTS).unwrap();
    Running::start::<S>(site, Cores::find().unwrap().first()).unwrap()
}

fn connect(server: &Running) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    // Whoever is not answered fails, and does not wait for ever.
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn expected(server: &Running) -> Vec<u8> {
    server.site().reply().whole().to_vec()
}

/// Every way of sending gives the same bytes, and then the end.
fn closes_after_a_reply<S: Serves>() {
    let mut server = start::<S>(Life::OneReply);
    for (number, content) in CONTENTS.iter().enumerate() {
        server.site().answer_with(number);
        for _ in 0..3 {
            let mut stream = connect(&server);
            // In two pieces, of which the first is no request.
            stream.write_all(&REQUEST[..20]).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            stream.write_all(&REQUEST[20..]).unwrap();
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).unwrap();
            assert_eq!(reply, expected(&server), "{content:?}");
        }
    }
    server.stop().unwrap();
}

/// Connections come and go, and the others go on.
fn keeps_connections<S: Serves>() {
    let mut server = start::<S>(Life::Kept);
    let reply = expected(&server);
    let ask = |stream: &mut TcpStream| {
        stream.write_all(REQUEST).unwrap();
        let mut came = vec![0; reply.len()];
        stream.read_exact(&mut came).unwrap();
        assert_eq!(came, reply);
    };
    let mut streams: Vec<TcpStream> = (0..6).map(|_| connect(&server)).collect();
    streams.iter_mut().for_each(ask);
    while !streams.is_empty() {
        drop(streams.remove(0));
        // Who came after the one that is gone was made before this one.
        let mut late = connect(&server);
        ask(&mut late);
        streams.iter_mut().for_each(ask);
    }
    server.stop().unwrap();
}

#[test]
fn io_uring() {
    closes_after_a_reply::<UkeventServer<IoUring>>();
    keeps_connections::<UkeventServer<IoUring>>();
}

#[test]
fn epoll() {
    closes_after_a_reply::<UkeventServer<Epoll>>();
    keeps_connections::<UkeventServer<Epoll>>();
}

#[test]
fn poll() {
    closes_after_a_reply::<UkeventServer<Poll>>();
    keeps_connections::<UkeventServer<Poll>>();
}

#[test]
fn bare_epoll() {
    closes_after_a_reply::<BareEpollServer>();
    keeps_connections::<BareEpollServer>();
}

#[test]
fn bare_poll() {
    closes_after_a_reply::<BarePollServer>();
    keeps_connections::<BarePollServer>();
}
