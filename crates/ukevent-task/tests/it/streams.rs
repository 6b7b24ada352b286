//! Streams, TCP's and Unix's: the two halves, cancelling, ends and errors.

use crate::bench::{Bench, dropped_while_it_waits, settle};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use testkit::{Rng, TempTree};
use ukevent_buf::Buffer;
use ukevent_task::net::{Receiver, Sender, TcpListener, TcpStream, UnixListener, UnixStream};
use ukevent_task::spawn;

cases! {
    everywhere: [
        what_comes_after_a_receive_was_dropped_is_not_lost,
        what_comes_while_nobody_asks_is_not_lost,
        a_send_that_is_dropped_goes_on,
        the_end_is_told_and_told_again,
        a_connection_that_nobody_takes_is_refused,
        who_sends_to_nobody_is_told,
        a_send_that_ends_in_the_middle_is_no_success,
        a_buffer_comes_back_also_after_an_error,
        big_transfers_between_two_tasks_each,
        what_was_made_elsewhere_is_a_stream_too,
        addresses_are_told,
        a_unix_socket_has_a_path_and_a_name,
        who_is_at_the_other_end_is_told,
        a_unix_listener_that_takes_no_more_is_waited_for,
        dropping_one_half_leaves_the_other,
        a_stream_that_moves_on_loses_nothing,
        a_stream_at_its_end_does_not_move,
    ],
}

/// Connected, over loopback.
pub(crate) async fn tcp() -> (TcpStream, TcpStream) {
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = TcpStream::connect(listener.address().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap())
}

/// Receives so many bytes.
async fn exactly(receiver: &mut Receiver, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        let bytes = receiver.receive().await.unwrap();
        assert!(!bytes.is_empty(), "the end after {} of {count} bytes", all.len());
        all.extend_from_slice(&bytes);
    }
    all
}

fn what_comes_after_a_receive_was_dropped_is_not_lost(bench: &Bench) {
    bench.run(async {
        let (mut client, mut server) = tcp().await;
        for round in 0..50_u8 {
            dropped_while_it_waits(server.receive()).await;
            client.send(vec![round; 3]).await.unwrap();
            if round % 2 == 0 {
                // It comes while nobody waits, too.
                settle().await;
            }
            assert_eq!(exactly(server.split().0, 3).await, [round; 3]);
        }
    });
}

fn what_comes_while_nobody_asks_is_not_lost(bench: &Bench) {
    bench.run(async {
        let (mut client, mut server) = tcp().await;
        dropped_while_it_waits(server.receive()).await;
        // More than a receiver keeps for those who do not ask.
        let sent: Vec<u8> = (0..1_000_000_u32).map(|it| (it / 7) as u8).collect();
        let bytes = sent.clone();
        let sends = spawn(async move {
            client.send(bytes).await.unwrap();
            client
        });
        for _ in 0..100 {
            settle().await;
        }
        assert!(exactly(server.split().0, sent.len()).await == sent);
        drop(sends.await);
    });
}

fn a_send_that_is_dropped_goes_on(bench: &Bench) {
    bench.run(async {
        let (mut client, server) = tcp().await;
        let (mut receiver, _sender) = server.into_split();
        // More than the kernel takes while nobody receives.
        let large = vec![1_u8; 16 << 20];
        dropped_while_it_waits(client.send(large.clone())).await;
        let reads = spawn(async move { exactly(&mut receiver, (16 << 20) + 3).await });
        client.send(vec![2; 3]).await.unwrap();
        let all = reads.await.unwrap();
        assert!(all.starts_with(&large) && all.ends_with(&[2; 3]));
    });
}

fn the_end_is_told_and_told_again(bench: &Bench) {
    bench.run(async {
        let (mut client, mut server) = tcp().await;
        client.send(b"last".to_vec()).await.unwrap();
        client.split().1.shutdown().await.unwrap();
        assert_eq!(&server.receive().await.unwrap()[..], b"last");
        for _ in 0..3 {
            assert!(server.receive().await.unwrap().is_empty());
        }
        // The other direction is open.
        server.send(b"answer".to_vec()).await.unwrap();
        assert_eq!(&client.receive().await.unwrap()[..], b"answer");
    });
}

fn a_connection_that_nobody_takes_is_refused(bench: &Bench) {
    bench.run(async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        drop(listener);
        settle().await;
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(111), "ECONNREFUSED");
        let tree = TempTree::new();
        let path = tree.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        settle().await;
        let refused = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(111), "ECONNREFUSED");
        let missing = UnixStream::connect(tree.path().join("other")).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    });
}

fn who_sends_to_nobody_is_told(bench: &Bench) {
    bench.run(async {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        settle().await;
        let told = ours.send(b"hello".to_vec()).await.unwrap_err();
        assert_eq!(told.raw_os_error(), Some(32), "EPIPE");
        assert!(ours.receive().await.unwrap().is_empty());
    });
}

fn a_send_that_ends_in_the_middle_is_no_success(bench: &Bench) {
    bench.run(async {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let sends = spawn(async move { ours.send(vec![0; 16 << 20]).await });
        settle().await;
        drop(theirs);
        let told = sends.await.unwrap().unwrap_err();
        assert!(matches!(told.kind(), ErrorKind::BrokenPipe), "{told}");
    });
}

fn a_buffer_comes_back_also_after_an_error(bench: &Bench) {
    bench.run(async {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (sent, buffer) = ours.split().1.send_buffer(Buffer::from(b"one".to_vec())).await;
        assert!(sent.is_ok() && &buffer[..] == b"one");
        drop(theirs);
        settle().await;
        let (sent, buffer) = ours.split().1.send_buffer(buffer).await;
        assert_eq!(sent.unwrap_err().raw_os_error(), Some(32), "EPIPE");
        assert_eq!(&buffer[..], b"one");
    });
}

/// Sends bytes of a seed in pieces of its sizes; the other side knows them by the same seed.
async fn pour(mut sender: Sender, seed: u64, total: usize) -> Sender {
    let mut rng = Rng::new(seed);
    let mut sent = 0;
    while sent < total {
        let count = (rng.below(100_000) as usize + 1).min(total - sent);
        sender
            .send((sent..sent + count).map(|at| pattern(seed, at)).collect::<Vec<u8>>())
            .await
            .unwrap();
        sent += count;
    }
    sender.shutdown().await.unwrap();
    sender
}

async fn check(mut receiver: Receiver, seed: u64, total: usize) -> Receiver {
    let mut at = 0;
    loop {
        let bytes = receiver.receive().await.unwrap();
        if bytes.is_empty() {
            break;
        }
        assert!(
            bytes.iter().enumerate().all(|(ahead, &it)| it == pattern(seed, at + ahead)),
            "{at}"
        );
        at += bytes.len();
    }
    assert_eq!(at, total);
    receiver
}

fn pattern(seed: u64, at: usize) -> u8 {
    (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed).to_be_bytes()[0]
}

fn big_transfers_between_two_tasks_each(bench: &Bench) {
    const TOTAL: usize = 8 << 20;
    bench.run(async {
        let (one, other) = tcp().await;
        let ((receiver, sender), (their_receiver, their_sender)) =
            (one.into_split(), other.into_split());
        let sends = [spawn(pour(sender, 1, TOTAL)), spawn(pour(their_sender, 2, TOTAL))];
        let checks = [spawn(check(receiver, 2, TOTAL)), spawn(check(their_receiver, 1, TOTAL))];
        for send in sends {
            drop(send.await.unwrap());
        }
        for check in checks {
            drop(check.await.unwrap());
        }
    });
}

fn what_was_made_elsewhere_is_a_stream_too(bench: &Bench) {
    bench.run(async {
        let (one, other) = testkit::tcp_pair();
        let mut one = TcpStream::from_socket(one).unwrap();
        let mut other = TcpStream::from_socket(OwnedFd::from(other)).unwrap();
        one.send(b"tcp".to_vec()).await.unwrap();
        assert_eq!(&other.receive().await.unwrap()[..], b"tcp");
        let (one, other) = testkit::unix_pair();
        let mut one = UnixStream::from_socket(one).unwrap();
        let mut other = UnixStream::from_socket(other).unwrap();
        one.send(b"unix".to_vec()).await.unwrap();
        assert_eq!(&other.receive().await.unwrap()[..], b"unix");
    });
}

fn addresses_are_told(bench: &Bench) {
    bench.run(async {
        let (client, server) = tcp().await;
        assert_eq!(client.address().unwrap(), server.peer_address().unwrap());
        assert_eq!(client.peer_address().unwrap(), server.address().unwrap());
        let listener = TcpListener::bind_shared("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        let beside = TcpListener::bind_shared(address).unwrap();
        assert_eq!(beside.address().unwrap(), address);
        let taken = TcpListener::bind(address).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    });
}

fn a_unix_socket_has_a_path_and_a_name(bench: &Bench) {
    use std::os::linux::net::SocketAddrExt;
    bench.run(async {
        let tree = TempTree::new();
        let path = tree.path().join("socket");
        let mut listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.address().unwrap().as_pathname(), Some(&*path));
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        let client = UnixStream::connect(&path).await.unwrap();
        assert_eq!(client.peer_address().unwrap().as_pathname(), Some(&*path));
        let server = listener.accept().await.unwrap();
        assert!(server.peer_address().unwrap().is_unnamed());

        let name = tree.path().to_str().unwrap().as_bytes();
        let mut listener = UnixListener::bind_abstract(name).unwrap();
        assert_eq!(listener.address().unwrap().as_abstract_name(), Some(name));
        let mut client = UnixStream::connect_abstract(name).await.unwrap();
        let mut server = listener.accept().await.unwrap();
        client.send(b"hello".to_vec()).await.unwrap();
        assert_eq!(&server.receive().await.unwrap()[..], b"hello");
    });
}

fn who_is_at_the_other_end_is_told(bench: &Bench) {
    bench.run(async {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let them = ours.peer_credentials().unwrap();
        assert_eq!(them.pid, std::process::id().cast_signed());
        assert_eq!(them.uid, rustix::process::geteuid().as_raw());
        assert_eq!(them.gid, rustix::process::getegid().as_raw());
    });
}

fn a_unix_listener_that_takes_no_more_is_waited_for(bench: &Bench) {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    bench.run(async {
        let tree = TempTree::new();
        let path = tree.path().join("socket");
        let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&listener, 1).unwrap();
        // Two have room: one more than was said.
        let first = UnixStream::connect(&path).await.unwrap();
        let second = UnixStream::connect(&path).await.unwrap();
        let there = path.clone();
        let third = spawn(async move { UnixStream::connect(there).await });
        settle().await;
        dropped_while_it_waits(UnixStream::connect(&path)).await;
        assert!(!third.has_ended(), "it waits");
        let mut listener = UnixListener::from_socket(listener).unwrap();
        for _ in 0..3 {
            drop(listener.accept().await.unwrap());
        }
        third.await.unwrap().unwrap();
        drop((first, second));
    });
}

fn dropping_one_half_leaves_the_other(bench: &Bench) {
    bench.run(async {
        let (client, mut server) = tcp().await;
        let (receiver, mut sender) = client.into_split();
        drop(receiver);
        sender.send(b"still".to_vec()).await.unwrap();
        assert_eq!(&server.receive().await.unwrap()[..], b"still");
        drop(sender);
        assert!(server.receive().await.unwrap().is_empty(), "it is closed with its last half");
    });
}

/// It leaves the queue and comes back while bytes come: between two of them, and amid them.
fn a_stream_that_moves_on_loses_nothing(bench: &Bench) {
    const TOTAL: usize = 20_000;
    let mut moves = 0;
    bench.run(async {
        let (client, server) = tcp().await;
        let sends = spawn(async move {
            let (receiver, mut sender) = client.into_split();
            for at in 0..TOTAL {
                sender.send(vec![pattern(7, at)]).await.unwrap();
                if at % 64 == 0 {
                    settle().await;
                }
            }
            (receiver, sender)
        });
        let (mut receiver, mut sender) = server.into_split();
        let mut came = 0;
        while came < TOTAL {
            if receiver.pause().await {
                let socket: OwnedFd = receiver.into_owner(sender).expect("nobody else has it");
                (receiver, sender) = TcpStream::from_socket(socket).unwrap().into_split();
                moves += 1;
            }
            let bytes = receiver.receive().await.unwrap();
            for &byte in &bytes[..] {
                assert_eq!(byte, pattern(7, came), "byte {came}, after {moves} moves");
                came += 1;
            }
        }
        drop(sends.await);
    });
    assert!(moves > 10, "it moved {moves} times");
}

fn a_stream_at_its_end_does_not_move(bench: &Bench) {
    bench.run(async {
        let (client, mut server) = tcp().await;
        dropped_while_it_waits(server.receive()).await;
        let (mut receiver, sender) = server.into_split();
        assert!(receiver.pause().await, "nothing has come");
        drop(client);
        assert!(receiver.receive().await.unwrap().is_empty());
        assert!(!receiver.pause().await);
        // A share of it keeps it here.
        let share = sender.registered().clone();
        assert!(receiver.into_owner::<OwnedFd>(sender).is_none());
        drop(share);
    });
}
