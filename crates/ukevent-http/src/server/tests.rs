//! The parts of the loop that need no client.

use super::*;
use crate::{limits::Limits, page::Page};
use proptest::prelude::*;
use rustix::net::sockopt::{ipv6_v6only, socket_reuseaddr, tcp_nodelay};
use service::Site;
use std::{
    collections::BTreeMap,
    net::{TcpListener, TcpStream},
};
use ukevent_queue::User;

#[test]
fn tokens_mean_what_they_were_made_for() {
    for first in [0, 1000, 1 << 63, u64::MAX - 5] {
        let tokens = Tokens { first };
        for meaning in [
            Meaning::Turn,
            Meaning::Stop,
            Meaning::GraceOver,
            Meaning::Resume,
            Meaning::Nothing,
            Meaning::Listener(3),
            Meaning::Peer(0),
            Meaning::Peer(u32::MAX),
            Meaning::Deadline(7),
        ] {
            assert_eq!(tokens.meaning(tokens.of(meaning)), Some(meaning));
        }
        let (before, behind) = (first.wrapping_sub(1), first.wrapping_add(1 << 34));
        assert_eq!(tokens.meaning(Token(before)), None);
        assert_eq!(tokens.meaning(Token(behind)), None);
    }
}

/// A listener's options are those of the connections that it accepts.
#[test]
fn accepted_connections_send_without_delay() {
    // "Any address" is the one of IPv6 that would be one of IPv4 too.
    for (address, host) in [("127.0.0.1:0", "127.0.0.1"), ("[::]:0", "::1")] {
        let (socket, bound) = accept::open(address.parse().unwrap(), false).unwrap();
        assert!(socket_reuseaddr(&socket).unwrap());
        assert_eq!(ipv6_v6only(&socket).ok(), bound.is_ipv6().then_some(true));
        let _client = TcpStream::connect((host, bound.port())).unwrap();
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(false).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(tcp_nodelay(&accepted).unwrap());
    }
}

fn peer(queue: &mut Queue, service: &mut Service, refused: bool) -> Peer {
    let key = queue.register(User::each(1), Token(0), ukevent_queue::Mode::Level).unwrap();
    Peer {
        connection: crate::connection::Connection::new(&service.turn()),
        key,
        timer: key,
        timer_ns: 0,
        refused,
        readable: false,
        ended: false,
        waits: false,
        received: false,
    }
}

proptest! {
    #[test]
    fn peers_agree_with_a_map(steps in prop::collection::vec((any::<bool>(), 0u32..8), 0..100)) {
        let mut queue = Queue::new().unwrap();
        let mut service = Service::new(Site::Page(Page::new()), Limits::default(), &queue);
        let (mut peers, mut model) = (Peers::default(), BTreeMap::new());
        for (insert, index) in steps {
            if insert {
                let place = peers.vacant();
                let peer = peer(&mut queue, &mut service, index % 3 == 0);
                prop_assert!(model.insert(place, (peer.key, peer.refused)).is_none());
                peers.insert(peer);
            } else {
                let removed = peers.remove(index).map(|peer| (peer.key, peer.refused));
                prop_assert_eq!(removed, model.remove(&index));
            }
            let refused = model.values().filter(|(_, refused)| *refused).count();
            prop_assert_eq!(peers.refused(), refused);
            prop_assert_eq!(peers.served(), model.len() - refused);
            prop_assert_eq!(peers.is_empty(), model.is_empty());
            prop_assert_eq!(peers.indices(), model.keys().copied().collect::<Vec<_>>());
            for index in 0..8 {
                prop_assert_eq!(peers.at(index).map(|peer| peer.key), model.get(&index).map(|m| m.0));
            }
        }
    }
}

/// What a connection said must not be heard as said by the next one in its place.
#[test]
fn a_place_that_is_given_up_leaves_no_words_behind() {
    let mut queue = Queue::new().unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut server = Server::builder().listen(listen).start(&mut queue).unwrap();
    let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
    server.accept(&mut queue, 0);
    std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    server.receive(&mut queue, 0);
    assert_eq!(server.received, [(0, 0..27)]);
    server.step(&mut queue, 0, Step::Close);
    let _next = TcpStream::connect(server.addresses()[0]).unwrap();
    server.accept(&mut queue, 0);
    assert!(server.peers.at(0).is_some(), "the place is used again");
    server.answer_received(&mut queue);
    assert_eq!(server.counters().requests, 0);
}
