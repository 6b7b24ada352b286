//! What the kernel sends. It is trusted to mean well, not to be the version that the code was written
//! for: a length or a type that nobody expected must not end the program.

use crate::Target;
use ukevent_queue::fuzz;
use ukevent_sys::{
    inotify,
    netlink::{attributes, messages},
    process::ProcConnector,
};

/// A datagram of netlink: its messages and their attributes lie within it, one after another.
pub const NETLINK: Target = Target {
    name: "netlink",
    run: netlink,
    seeds: &[LINK, ADDRESS, &[16, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]],
    words: WORDS,
};

/// The changes of interfaces, addresses and routes that such a datagram tells.
pub const CHANGES: Target = Target {
    name: "changes",
    run: fuzz::changes,
    seeds: &[LINK, ADDRESS, ROUTE, ROUTE_VIA, OVERRUN],
    words: WORDS,
};

/// A uevent: a head and pairs, each ended by a zero byte.
pub const UEVENT: Target = Target {
    name: "uevent",
    run: fuzz::uevent,
    seeds: &[
        b"add@/devices/virtual/net/veth0\0ACTION=add\0DEVPATH=/devices/virtual/net/veth0\0\
          SUBSYSTEM=net\0INTERFACE=veth0\0SEQNUM=4711\0",
        b"change@/devices/a@b\0A=x=y\0=\0SUBSYSTEM=\0SUBSYSTEM=block\0nothing\0\0",
    ],
    words: &[
        b"@",
        b"=",
        b"\0",
        b"SUBSYSTEM",
        b"SUBSYSTEM=net\0",
        b"\xff",
        b"\xc3\xa4",
        b"libudev\0",
    ],
};

/// A datagram of the process connector.
pub const CONNECTOR: Target = Target {
    name: "connector",
    run: |bytes| {
        let told = ProcConnector::decode(bytes).count();
        // A header of netlink, one of the connector, one of the event, and a word at least.
        assert!(told * (16 + 20 + 16) <= bytes.len());
    },
    seeds: &[FORK, EXEC],
    words: WORDS,
};

/// What one read of an inotify descriptor gives: reports one after another.
pub const INOTIFY: Target =
    Target { name: "inotify", run: reports, seeds: &[CREATED, OVERFLOW], words: WORDS };

/// Lengths and types, as they lie in little-endian memory.
const WORDS: &[&[u8]] = &[
    &[0, 0],
    &[3, 0],
    &[4, 0],
    &[16, 0, 0, 0],
    &[20, 0],
    &[24, 0],
    &[0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xfd, 0xff, 0xff, 0xff],
    &[1, 0, 0, 0, 1, 0, 0, 0],
];

/// `RTM_NEWLINK`: `struct ifinfomsg`, `IFLA_IFNAME` "lo", `IFLA_MTU`.
#[rustfmt::skip]
const LINK: &[u8] = &[
    48, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 4, 3, 1, 0, 0, 0, 0x49, 0, 1, 0, 0, 0, 0, 0,
    7, 0, 3, 0, b'l', b'o', 0, 0,
    8, 0, 4, 0, 0, 0, 1, 0,
];

/// `RTM_NEWADDR` twice: `struct ifaddrmsg`, `IFA_ADDRESS` 127.0.0.1.
#[rustfmt::skip]
const ADDRESS: &[u8] = &[
    32, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    2, 8, 0, 0, 1, 0, 0, 0, 8, 0, 1, 0, 127, 0, 0, 1,
    32, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
    2, 8, 0, 0, 1, 0, 0, 0, 8, 0, 1, 0, 127, 0, 0, 1,
];

/// `RTM_NEWROUTE`: `struct rtmsg`, `RTA_DST` 10.0.0.0/8, `RTA_GATEWAY` 10.0.0.1, `RTA_OIF`,
/// `RTA_TABLE` 1000.
#[rustfmt::skip]
const ROUTE: &[u8] = &[
    60, 0, 0, 0, 24, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    2, 8, 0, 0, 252, 3, 0, 1, 0, 0, 0, 0,
    8, 0, 1, 0, 10, 0, 0, 0,
    8, 0, 5, 0, 10, 0, 0, 1,
    8, 0, 4, 0, 2, 0, 0, 0,
    8, 0, 15, 0, 0xe8, 3, 0, 0,
];

/// `RTM_DELROUTE`: the default route of IPv4, with `RTA_VIA` fe80::1.
#[rustfmt::skip]
const ROUTE_VIA: &[u8] = &[
    52, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
    2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0,
    22, 0, 18, 0, 10, 0, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
];

/// `NLMSG_OVERRUN`.
const OVERRUN: &[u8] = &[16, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

/// `PROC_EVENT_FORK` in `struct cn_msg`: parent 7, child 9.
#[rustfmt::skip]
const FORK: &[u8] = &[
    76, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    1, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0,
    1, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9,
    7, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// `PROC_EVENT_EXEC` of process 9.
#[rustfmt::skip]
const EXEC: &[u8] = &[
    60, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    1, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0,
    2, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9,
    9, 0, 0, 0, 9, 0, 0, 0,
];

/// `IN_CREATE` of "new" in a watched folder, and `IN_ATTRIB` of a watched file.
#[rustfmt::skip]
const CREATED: &[u8] = &[
    1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0,
    b'n', b'e', b'w', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    2, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// `IN_Q_OVERFLOW`, which is of no watch.
#[rustfmt::skip]
const OVERFLOW: &[u8] = &[
    0xff, 0xff, 0xff, 0xff, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn reports(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((report, taken)) = inotify::parse(rest) {
        // Less than a header would be read for ever.
        assert!((16..=rest.len()).contains(&taken), "{taken} of {}", rest.len());
        assert!(report.name.len() <= taken - 16);
        rest = &rest[taken..];
    }
}

fn netlink(bytes: &[u8]) {
    let mut end = 0;
    for message in messages(bytes) {
        end = follows(bytes, end, message.payload);
        // Attributes begin behind a header of the protocol's, whose length is the caller's to know.
        for header in [0, 4, 8, 12, 16] {
            let mut end = 0;
            let inside = message.payload.get(header..).unwrap_or_default();
            for (_, value) in attributes(inside) {
                end = follows(inside, end, value);
            }
        }
    }
}

/// Makes sure that `part` lies in `whole`, not before `end`, and returns where it ends.
fn follows(whole: &[u8], end: usize, part: &[u8]) -> usize {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize);
    let start = start.expect("a part lies in its whole");
    assert!(end <= start && start + part.len() <= whole.len(), "{start} after {end}");
    start + part.len()
}

#[cfg(test)]
mod tests {
    use super::{ADDRESS, CREATED, EXEC, FORK, LINK, ROUTE, ROUTE_VIA};
    use ukevent_sys::{
        inotify,
        netlink::{attribute, messages},
        process::{ProcConnector, ProcMessage},
    };

    #[test]
    #[cfg(target_endian = "little")]
    fn the_seeds_are_good() {
        let link = messages(LINK).next().expect("one message");
        assert_eq!(attribute(&link.payload[16..], 3), Some(&b"lo\0"[..]));
        assert_eq!(messages(ADDRESS).count(), 2);
        let route = messages(ROUTE).next().expect("one message");
        assert_eq!(attribute(&route.payload[12..], 15), Some(&1000_u32.to_ne_bytes()[..]));
        let via = messages(ROUTE_VIA).next().expect("one message");
        assert_eq!(attribute(&via.payload[12..], 18).map(<[u8]>::len), Some(2 + 16));
        let told: Vec<_> = [FORK, EXEC].into_iter().flat_map(ProcConnector::decode).collect();
        let expected =
            [ProcMessage::Forked { parent: 7, child: 9 }, ProcMessage::Executed { pid: 9 }];
        assert_eq!(told, expected);
        let (report, taken) = inotify::parse(CREATED).expect("two reports");
        assert_eq!((report.name.to_str(), taken), (Some("new"), 32));
    }
}
