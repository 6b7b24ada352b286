//! Names of hosts.

use crate::bench::{Bench, settle};
use std::io::ErrorKind;
use ukevent_task::net::{TcpListener, TcpStream, resolve};
use ukevent_task::spawn;

cases! {
    everywhere: [
        addresses_are_taken_as_they_are,
        localhost_is_found,
        what_is_no_name_is_refused,
        all_addresses_of_a_name_are_tried,
        looking_up_does_not_stop_the_others,
    ],
}

fn addresses_are_taken_as_they_are(bench: &Bench) {
    bench.run(async {
        for address in ["127.0.0.1:80", "[::1]:443"] {
            assert_eq!(resolve(address).await.unwrap(), [address.parse().unwrap()]);
        }
    });
}

fn localhost_is_found(bench: &Bench) {
    bench.run(async {
        let found = resolve("localhost:80").await.unwrap();
        assert!(found.iter().any(|it| it.ip().is_loopback() && it.port() == 80), "{found:?}");
    });
}

fn what_is_no_name_is_refused(bench: &Bench) {
    bench.run(async {
        let error = resolve("without a port").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(resolve("no such name.:80").await.is_err());
        assert!(TcpStream::connect_to("no such name.", 80).await.is_err());
    });
}

fn all_addresses_of_a_name_are_tried(bench: &Bench) {
    bench.run(async {
        let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        let nobody = [2, 3].map(|last| ([127, 0, 0, last], address.port()).into());
        let client = TcpStream::connect_any(nobody.into_iter().chain([address])).await.unwrap();
        let server = listener.accept().await.unwrap();
        assert_eq!(server.peer_address().unwrap(), client.address().unwrap());
        let refused = TcpStream::connect_any(nobody).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let none = TcpStream::connect_any([]).await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::InvalidInput);
        drop(TcpStream::connect_to("localhost", address.port()).await.unwrap());
        drop(listener.accept().await.unwrap());
        let port = address.port();
        drop(TcpStream::connect_to("127.0.0.1", port).await.unwrap());
        drop(listener);
        settle().await;
        let refused = TcpStream::connect_to("localhost", port).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

fn looking_up_does_not_stop_the_others(bench: &Bench) {
    bench.run(async {
        let looks = spawn(resolve("localhost:1"));
        settle().await;
        looks.await.unwrap().unwrap();
        drop(spawn(resolve("localhost:2")));
    });
}
