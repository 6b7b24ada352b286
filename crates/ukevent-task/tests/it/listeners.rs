//! Accepting: cancelled, in numbers, and without descriptors.

use crate::bench::{Bench, dropped_while_it_waits, settle};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::{IpAddr, TcpStream as Blocking};
use ukevent_task::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use ukevent_task::spawn;

cases! {
    everywhere: [
        a_connection_after_an_accept_was_dropped_is_not_lost,
        connections_while_nobody_asks_are_not_lost,
        connections_that_nobody_took_are_closed,
        a_thousand_connections_at_a_time,
        a_connection_comes_from_the_address_that_was_named,
    ],
    alone: [
        without_descriptors_accepting_fails_and_goes_on,
    ],
}

fn here() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address().unwrap();
    (listener, address)
}

fn a_connection_after_an_accept_was_dropped_is_not_lost(bench: &Bench) {
    bench.run(async {
        let (mut listener, address) = here();
        for round in 0..20 {
            dropped_while_it_waits(listener.accept()).await;
            let client = Blocking::connect(address).unwrap();
            if round % 2 == 0 {
                settle().await;
            }
            let server = listener.accept().await.unwrap();
            assert_eq!(server.peer_address().unwrap(), client.local_addr().unwrap());
        }
        let name = format!("ukevent-{}-{:p}", std::process::id(), &listener);
        let mut listener = UnixListener::bind_abstract(&name).unwrap();
        dropped_while_it_waits(listener.accept()).await;
        let mut client = UnixStream::connect_abstract(&name).await.unwrap();
        settle().await;
        client.send(b"it is me".to_vec()).await.unwrap();
        let mut server = listener.accept().await.unwrap();
        assert_eq!(&server.receive().await.unwrap()[..], b"it is me");
    });
}

fn a_connection_comes_from_the_address_that_was_named(bench: &Bench) {
    bench.run(async {
        let (mut listener, address) = here();
        for from in ["127.0.0.1", "127.0.0.2", "127.250.0.9"] {
            let from: IpAddr = from.parse().unwrap();
            let client = TcpStream::connect_from(from, address).await.unwrap();
            let server = listener.accept().await.unwrap();
            assert_eq!(server.peer_address().unwrap(), client.address().unwrap());
            assert_eq!(client.address().unwrap().ip(), from);
        }
        let six = "::1".parse().unwrap();
        assert_eq!(errno(TcpStream::connect_from(six, address).await), Some(Errno::AFNOSUPPORT));
        let foreign = "192.0.2.1".parse().unwrap();
        assert_eq!(
            errno(TcpStream::connect_from(foreign, address).await),
            Some(Errno::ADDRNOTAVAIL)
        );
        if let Ok(mut listener) = TcpListener::bind("[::1]:0".parse().unwrap()) {
            let client = TcpStream::connect_from(six, listener.address().unwrap()).await.unwrap();
            let server = listener.accept().await.unwrap();
            assert_eq!(server.peer_address().unwrap(), client.address().unwrap());
        }
    });
}

fn errno(result: std::io::Result<TcpStream>) -> Option<Errno> {
    Errno::from_io_error(&result.err()?)
}

fn connections_while_nobody_asks_are_not_lost(bench: &Bench) {
    bench.run(async {
        let (mut listener, address) = here();
        dropped_while_it_waits(listener.accept()).await;
        // More than are kept for those who do not ask.
        let clients: Vec<_> = (0..100).map(|_| Blocking::connect(address).unwrap()).collect();
        for _ in 0..20 {
            settle().await;
        }
        let mut expected: Vec<_> = clients.iter().map(|it| it.local_addr().unwrap()).collect();
        let mut came = Vec::new();
        for _ in 0..clients.len() {
            came.push(listener.accept().await.unwrap().peer_address().unwrap());
        }
        expected.sort();
        came.sort();
        assert_eq!(came, expected);
    });
}

fn connections_that_nobody_took_are_closed(bench: &Bench) {
    use std::io::Read;
    let mut client = bench.run(async {
        let (mut listener, address) = here();
        dropped_while_it_waits(listener.accept()).await;
        let client = Blocking::connect(address).unwrap();
        settle().await;
        client
    });
    let end = client.read(&mut [0]);
    assert!(matches!(end, Ok(0) | Err(_)), "it is closed with the runtime: {end:?}");
}

fn a_thousand_connections_at_a_time(bench: &Bench) {
    const CONNECTIONS: usize = 1000;
    testkit::raise_nofile();
    bench.run(async {
        let (mut listener, address) = here();
        let server = spawn(async move {
            let mut echoes = Vec::new();
            for _ in 0..CONNECTIONS {
                let mut stream = listener.accept().await.unwrap();
                echoes.push(spawn(async move {
                    loop {
                        let bytes = stream.receive().await.unwrap();
                        if bytes.is_empty() {
                            break;
                        }
                        stream.send(bytes).await.unwrap();
                    }
                }));
            }
            for echo in echoes {
                echo.await.unwrap();
            }
        });
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    for round in 0..3 {
                        let said = format!("{number:>8}{round:>8}").into_bytes();
                        stream.send(said.clone()).await.unwrap();
                        let mut heard = Vec::new();
                        while heard.len() < said.len() {
                            heard.extend_from_slice(&stream.receive().await.unwrap());
                        }
                        assert_eq!(heard, said);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        server.await.unwrap();
    });
}

fn without_descriptors_accepting_fails_and_goes_on(bench: &Bench) {
    bench.run(async {
        // Before accepting begins: a ring keeps to the limit that was then.
        let before = getrlimit(Resource::Nofile);
        let limit = testkit::descriptors().into_keys().max().unwrap() as u64 + 20;
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..before }).unwrap();
        let (mut listener, address) = here();
        dropped_while_it_waits(listener.accept()).await;
        let client = Blocking::connect(address).unwrap();
        let one = listener.accept().await.unwrap();
        let mut files = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
        }
        // The last there is.
        files.pop();
        let other = Blocking::connect(address).unwrap();
        for _ in 0..2 {
            let none = listener.accept().await.unwrap_err();
            assert_eq!(none.raw_os_error(), Some(24), "EMFILE");
        }
        drop((one, client, files));
        settle().await;
        let server = listener.accept().await.unwrap();
        assert_eq!(server.peer_address().unwrap(), other.local_addr().unwrap());
        setrlimit(Resource::Nofile, before).unwrap();
    });
}
