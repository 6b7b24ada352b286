//! Netlink sockets in namespaces of their own, and the taking apart of right and wrong bytes.

use super::*;
use testkit::{Netns, Rng, wait_until};

/// `RTM_NEWLINK`, `RTM_DELLINK`.
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;

fn attribute_bytes(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(aligned(bytes.len()), 0);
    bytes
}

/// Takes what waits: the types of the messages, and how often something was lost.
fn read_all(socket: &NetlinkSocket) -> (Vec<u16>, usize) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let (mut kinds, mut overruns) = (Vec::new(), 0);
    loop {
        match socket.receive(&mut buffer).unwrap() {
            Received::Nothing => return (kinds, overruns),
            Received::Overrun => overruns += 1,
            Received::Datagram(len) => {
                kinds.extend(messages(&buffer[..len]).map(|message| message.kind));
            }
        }
    }
}

#[test]
fn messages_follow_each_other_aligned() {
    let mut datagram = request(20, 7, b"abcde");
    datagram.resize(aligned(datagram.len()), 0);
    datagram.extend(request(21, 8, b""));
    let found: Vec<_> = messages(&datagram).collect();
    let first = Message { kind: 20, sequence: 7, payload: b"abcde" };
    let second = Message { kind: 21, sequence: 8, payload: b"" };
    assert_eq!(found, [first, second]);
}

#[test]
fn a_message_of_wrong_length_ends_the_datagram() {
    let valid = request(20, 7, b"abcd");
    for length in [0, 1, 15, 21, 1 << 31, u32::MAX] {
        let mut datagram = valid.clone();
        datagram[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(messages(&datagram).count(), 0, "{length}");
    }
    for len in 0..valid.len() {
        assert_eq!(messages(&valid[..len]).count(), 0, "{len}");
    }
}

#[test]
fn attributes_follow_each_other_aligned() {
    let mut bytes = attribute_bytes(3, b"veth0\0");
    bytes.extend(attribute_bytes(4 | 0x8000, &1500_u32.to_ne_bytes()));
    bytes.extend(attribute_bytes(3, b"later"));
    let kinds: Vec<u16> = attributes(&bytes).map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [3, 4, 3], "without flags");
    assert_eq!(attribute(&bytes, 3), Some(&b"veth0\0"[..]), "the first");
    assert_eq!(attribute(&bytes, 4).and_then(|value| u32_at(value, 0)), Some(1500));
    assert_eq!(attribute(&bytes, 5), None);
}

#[test]
fn an_attribute_of_wrong_length_ends_them() {
    let valid = attribute_bytes(3, b"abcd");
    for length in [0, 1, 3, 9, u16::MAX] {
        let mut bytes = valid.clone();
        bytes[..2].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(attributes(&bytes).count(), 0, "{length}");
    }
}

#[test]
fn numbers_are_read_inside_the_bytes_only() {
    let bytes = [1, 0, 0, 0, 2];
    assert_eq!(u32_at(&bytes, 0), Some(u32::from_ne_bytes([1, 0, 0, 0])));
    assert_eq!((u32_at(&bytes, 2), u16_at(&bytes, 4)), (None, None));
    assert_eq!((u32_at(&bytes, usize::MAX), u16_at(&bytes, usize::MAX - 1)), (None, None));
}

#[test]
fn any_bytes_come_apart_in_bounded_time() {
    let mut rng = Rng::seeded();
    let mut bytes = [0; 256];
    for _ in 0..20_000 {
        rng.fill(&mut bytes);
        // Small lengths, as random ones would end at once.
        for at in (0..bytes.len()).step_by(4) {
            if rng.below(2) == 0 {
                bytes[at..at + 4].copy_from_slice(&(rng.below(40) as u32).to_ne_bytes());
            }
        }
        let len = rng.below(bytes.len() as u64 + 1) as usize;
        let found = messages(&bytes[..len]).map(|message| attributes(message.payload).count());
        assert!(found.sum::<usize>() <= len);
        assert!(attributes(&bytes[..len]).count() <= len / 4 + 1);
    }
}

#[test]
fn interfaces_are_heard_of_in_their_own_namespace() {
    let (Some(netns), Some(other)) = (Netns::new(), Netns::new()) else { return };
    let socket = netns.run(|| NetlinkSocket::route(&[group::LINK])).unwrap();
    let deaf = other.run(|| NetlinkSocket::route(&[group::LINK])).unwrap();
    netns.ip("link add left type veth peer name right");
    let (kinds, overruns) = read_all(&socket);
    assert!(kinds.len() >= 2 && kinds.iter().all(|&kind| kind == NEW_LINK), "{kinds:?}");
    assert_eq!(overruns, 0);
    netns.ip("link del left");
    assert!(read_all(&socket).0.contains(&DEL_LINK));
    assert_eq!(read_all(&deaf), (vec![], 0));
}

#[test]
fn a_group_above_32_can_be_joined_and_one_that_is_not_there_cannot() {
    const NEXTHOP: u32 = 32;
    const BRIDGE_VLAN: u32 = 33;
    NetlinkSocket::route(&[group::LINK, NEXTHOP, BRIDGE_VLAN]).unwrap();
    let error = NetlinkSocket::route(&[10_000]).unwrap_err();
    assert_eq!(error, Error::new("setsockopt", libc::EINVAL));
}

#[test]
fn what_another_program_sends_is_not_received() {
    let Some(netns) = Netns::new() else { return };
    let (socket, forger) = netns.run(|| {
        (NetlinkSocket::route(&[group::LINK]).unwrap(), NetlinkSocket::route(&[]).unwrap())
    });
    let address = rustix::net::getsockname(&socket).unwrap();
    let forged = request(NEW_LINK, 0, &[0; 16]);
    rustix::net::sendto(&forger, &forged, SendFlags::empty(), &address).unwrap();
    // It is there, or this shows nothing.
    let peek = || rustix::net::recv(&socket, &mut [0; 64], RecvFlags::PEEK).map(|(len, _)| len);
    assert_eq!(peek(), Ok(forged.len()));
    assert_eq!(read_all(&socket), (vec![], 0));
    assert_eq!(peek(), Err(rustix::io::Errno::AGAIN), "thrown away");
}

#[test]
fn an_overrun_is_told_and_what_comes_after_is_received() {
    let Some(netns) = Netns::new() else { return };
    let socket = netns.run(|| NetlinkSocket::route(&[group::LINK])).unwrap();
    netns.ip("link add left type veth peer name right");
    read_all(&socket);
    sockopt::set_socket_recv_buffer_size(&socket, 0).unwrap();
    for up in 0..40 {
        netns.ip(&format!("link set left mtu {}", 1000 + up));
    }
    let (_, overruns) = read_all(&socket);
    assert_eq!(overruns, 1);
    netns.ip("link set left mtu 900");
    assert_eq!(read_all(&socket), (vec![NEW_LINK], 0));
}

#[test]
fn a_datagram_that_does_not_fit_is_told_as_lost() {
    let Some(netns) = Netns::new() else { return };
    let socket = netns.run(|| NetlinkSocket::route(&[group::LINK])).unwrap();
    netns.ip("link set lo mtu 10000");
    assert_eq!(socket.receive(&mut [0; 64]).unwrap(), Received::Overrun);
    assert_eq!(socket.receive(&mut [0; 64]).unwrap(), Received::Nothing);
}

#[test]
fn the_receive_buffer_is_large() {
    let socket = NetlinkSocket::uevents().unwrap();
    let bytes = sockopt::socket_recv_buffer_size(&socket).unwrap();
    // The kernel doubles what is asked for; who may not go beyond its limit gets that.
    assert!(bytes >= 2 * RECEIVE_BUFFER_BYTES || bytes >= 2 * 200_000, "{bytes}");
}

#[test]
fn devices_are_heard_of() {
    let Some(netns) = Netns::new() else { return };
    let socket = netns.run(NetlinkSocket::uevents).unwrap();
    netns.ip("link add left type veth peer name right");
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut heads = Vec::new();
    wait_until("both ends were told of", || {
        while let Received::Datagram(len) = socket.receive(&mut buffer).unwrap() {
            let head = buffer[..len].split(|&byte| byte == 0).next().unwrap();
            heads.push(String::from_utf8(head.to_vec()).unwrap());
        }
        ["left", "right"]
            .iter()
            .all(|name| heads.contains(&format!("add@/devices/virtual/net/{name}")))
    });
}
