//! Datagrams, UDP's and Unix's.

use crate::bench::{Bench, dropped_while_it_waits, once, settle};
use testkit::TempTree;
use ukevent_buf::Buffer;
use ukevent_task::net::{UdpSocket, UnixDatagram};
use ukevent_task::spawn;

cases! {
    everywhere: [
        a_datagram_after_a_receive_was_dropped_is_not_lost,
        datagrams_keep_their_order_and_their_edges,
        an_empty_datagram_is_one,
        a_datagram_that_is_too_large_is_told,
        the_largest_datagram_has_room,
        nobody_there_is_told_and_it_goes_on,
        connected_sockets_hear_one_peer,
        ipv6_is_spoken,
        a_sender_is_shared,
        unix_datagrams_have_names_to_answer_to,
        a_full_unix_datagram_socket_is_waited_for,
        sends_that_were_dropped_go_on_within_a_bound,
        who_sends_without_a_peer_is_told,
        a_socket_that_was_made_elsewhere_is_one_too,
    ],
}

fn udp() -> (UdpSocket, std::net::SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.address().unwrap();
    (socket, address)
}

fn a_datagram_after_a_receive_was_dropped_is_not_lost(bench: &Bench) {
    bench.run(async {
        let ((mut server, address), (client, from)) = (udp(), udp());
        for round in 0..50_u8 {
            dropped_while_it_waits(server.receive_from()).await;
            client.send_to(vec![round], address).await.unwrap();
            if round % 2 == 0 {
                // It comes while nobody waits, too.
                settle().await;
            }
            let datagram = server.receive_from().await.unwrap();
            assert_eq!((&datagram.bytes[..], datagram.from.to_inet()), (&[round][..], Some(from)));
        }
    });
}

fn datagrams_keep_their_order_and_their_edges(bench: &Bench) {
    bench.run(async {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (mut receiver, _) = theirs.into_split();
        let receives = spawn(async move {
            for size in 0..2000_usize {
                let bytes = receiver.receive().await.unwrap();
                assert!(bytes.len() == size && bytes.iter().all(|&it| it == size as u8), "{size}");
            }
        });
        for size in 0..2000_usize {
            ours.send(vec![size as u8; size]).await.unwrap();
        }
        receives.await.unwrap();
    });
}

fn an_empty_datagram_is_one(bench: &Bench) {
    bench.run(async {
        let ((mut server, address), (client, _)) = (udp(), udp());
        client.send_to(Buffer::default(), address).await.unwrap();
        client.send_to(b"more".to_vec(), address).await.unwrap();
        assert!(server.receive_from().await.unwrap().bytes.is_empty());
        assert_eq!(&server.receive().await.unwrap()[..], b"more");
    });
}

fn a_datagram_that_is_too_large_is_told(bench: &Bench) {
    bench.run(async {
        let ((mut server, address), (client, _)) = (udp(), udp());
        server.set_room(10);
        for size in [9, 10, 11, 10] {
            client.send_to(vec![7; size], address).await.unwrap();
            let datagram = server.receive_from().await.unwrap();
            assert_eq!(datagram.is_truncated, size > 10);
            assert_eq!(&datagram.bytes[..], &vec![7; size.min(10)][..]);
        }
        client.send_to(vec![7; 11], address).await.unwrap();
        let told = server.receive().await.unwrap_err();
        assert_eq!(told.raw_os_error(), Some(90), "EMSGSIZE");
        client.send_to(vec![8; 3], address).await.unwrap();
        assert_eq!(&server.receive().await.unwrap()[..], [8; 3]);
        // No room at all is one byte.
        server.set_room(0);
        client.send_to(vec![9; 2], address).await.unwrap();
        assert_eq!(&server.receive_from().await.unwrap().bytes[..], [9]);
    });
}

fn the_largest_datagram_has_room(bench: &Bench) {
    bench.run(async {
        let ((mut server, address), (client, _)) = (udp(), udp());
        for size in [65_507, 1, 40_000, 2, 65_507] {
            client.send_to(vec![size as u8; size], address).await.unwrap();
            let datagram = server.receive_from().await.unwrap();
            assert!(!datagram.is_truncated);
            assert!(datagram.bytes[..] == vec![size as u8; size][..], "{size}");
        }
        let refused = client.send_to(vec![0; 65_508], address).await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(90), "EMSGSIZE");
    });
}

fn nobody_there_is_told_and_it_goes_on(bench: &Bench) {
    bench.run(async {
        let (mut ours, _) = udp();
        let (gone, there) = udp();
        drop(gone);
        settle().await;
        ours.connect(there).unwrap();
        ours.send(b"hello?".to_vec()).await.unwrap();
        let told = ours.receive().await.unwrap_err();
        assert_eq!(told.raw_os_error(), Some(111), "ECONNREFUSED");
        let back = UdpSocket::bind(there).unwrap();
        back.send_to(b"here".to_vec(), ours.address().unwrap()).await.unwrap();
        assert_eq!(&ours.receive().await.unwrap()[..], b"here");
    });
}

fn connected_sockets_hear_one_peer(bench: &Bench) {
    bench.run(async {
        let ((mut ours, address), (peer, there), (other, _)) = (udp(), udp(), udp());
        ours.connect(there).unwrap();
        other.send_to(b"psst".to_vec(), address).await.unwrap();
        peer.send_to(b"hello".to_vec(), address).await.unwrap();
        assert_eq!(&ours.receive().await.unwrap()[..], b"hello");
    });
}

fn ipv6_is_spoken(bench: &Bench) {
    bench.run(async {
        let mut server = UdpSocket::bind("[::1]:0".parse().unwrap()).unwrap();
        let client = UdpSocket::bind("[::1]:0".parse().unwrap()).unwrap();
        client.send_to(b"six".to_vec(), server.address().unwrap()).await.unwrap();
        let datagram = server.receive_from().await.unwrap();
        assert_eq!(datagram.from.to_inet(), Some(client.address().unwrap()));
    });
}

fn a_sender_is_shared(bench: &Bench) {
    bench.run(async {
        let ((server, address), (client, _)) = (udp(), udp());
        let (mut receiver, sender) = server.into_split();
        client.connect(address).unwrap();
        client.send(b"question".to_vec()).await.unwrap();
        let question = receiver.receive_from().await.unwrap();
        let answers: Vec<_> = (0..4_u8)
            .map(|number| {
                let (sender, to) = (sender.clone(), question.from);
                spawn(async move { sender.send_to(vec![number], to).await.unwrap() })
            })
            .collect();
        for answer in answers {
            answer.await.unwrap();
        }
        let (mut receiver, _sender) = client.into_split();
        let mut came = Vec::new();
        for _ in 0..4 {
            came.extend_from_slice(&receiver.receive().await.unwrap());
        }
        came.sort_unstable();
        assert_eq!(came, [0, 1, 2, 3]);
    });
}

fn unix_datagrams_have_names_to_answer_to(bench: &Bench) {
    bench.run(async {
        let tree = TempTree::new();
        let path = |name| tree.path().join(name);
        let mut server = UnixDatagram::bind(path("server")).unwrap();
        let mut client = UnixDatagram::bind(path("client")).unwrap();
        client.connect(path("server")).unwrap();
        client.send(b"question".to_vec()).await.unwrap();
        let question = server.receive_from().await.unwrap();
        let from = question.from.to_unix().unwrap();
        assert_eq!(from.as_pathname(), Some(&*path("client")));
        server.send_to(b"answer".to_vec(), &from).await.unwrap();
        let answer = client.receive_from().await.unwrap();
        assert_eq!(&answer.bytes[..], b"answer");
        assert_eq!(answer.from.to_unix().unwrap().as_pathname(), Some(&*path("server")));

        let name = tree.path().to_str().unwrap();
        let mut named = UnixDatagram::bind_abstract(name).unwrap();
        let nameless = UnixDatagram::unbound().unwrap();
        let address = named.address().unwrap();
        nameless.send_to(b"boo".to_vec(), &address).await.unwrap();
        let datagram = named.receive_from().await.unwrap();
        assert_eq!(&datagram.bytes[..], b"boo");
        assert!(datagram.from.to_unix().is_none_or(|it| it.is_unnamed()));
        assert!(nameless.address().unwrap().is_unnamed());
    });
}

fn a_full_unix_datagram_socket_is_waited_for(bench: &Bench) {
    bench.run(async {
        let (ours, mut theirs) = UnixDatagram::pair().unwrap();
        let sends = spawn(async move {
            for number in 0..5000_u32 {
                ours.send(number.to_ne_bytes().to_vec()).await.unwrap();
            }
        });
        for _ in 0..20 {
            settle().await;
        }
        assert!(!sends.has_ended(), "the kernel does not keep so many");
        for number in 0..5000_u32 {
            assert_eq!(&theirs.receive().await.unwrap()[..], number.to_ne_bytes());
        }
        sends.await.unwrap();
    });
}

fn sends_that_were_dropped_go_on_within_a_bound(bench: &Bench) {
    bench.run(async {
        let (ours, mut theirs) = UnixDatagram::pair().unwrap();
        let size = 60_000;
        let mut dropped = 0;
        // Some are with the kernel, the others wait: more than a megabyte of them may not.
        while dropped < 30 {
            let mut sends = std::pin::pin!(ours.send(vec![dropped; size]));
            let _ = once(&mut sends).await;
            dropped += 1;
            settle().await;
        }
        let receives = spawn(async move {
            let mut came = Vec::new();
            loop {
                let bytes = theirs.receive().await.unwrap();
                assert!(bytes.is_empty() || bytes.len() == size);
                match bytes.first() {
                    Some(&number) => came.push(number),
                    None => return came,
                }
            }
        });
        ours.send(vec![99; size]).await.unwrap();
        ours.send(Vec::new()).await.unwrap();
        let came = receives.await.unwrap();
        assert!(came.is_sorted() && came.ends_with(&[99]) && came.len() > 10, "{came:?}");
    });
}

fn who_sends_without_a_peer_is_told(bench: &Bench) {
    bench.run(async {
        let (ours, _) = udp();
        let told = ours.send(b"to whom?".to_vec()).await.unwrap_err();
        assert_eq!(told.raw_os_error(), Some(89), "EDESTADDRREQ");
        let (one, other) = UnixDatagram::pair().unwrap();
        drop(other);
        settle().await;
        let told = one.send(b"anybody?".to_vec()).await.unwrap_err();
        assert_eq!(told.raw_os_error(), Some(111), "ECONNREFUSED");
    });
}

fn a_socket_that_was_made_elsewhere_is_one_too(bench: &Bench) {
    bench.run(async {
        let (one, other) = testkit::udp_pair();
        let mut ours = UdpSocket::from_socket(one).unwrap();
        other.send(b"hello").unwrap();
        assert_eq!(&ours.receive().await.unwrap()[..], b"hello");
    });
}
