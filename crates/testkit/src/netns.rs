//! Network namespaces of a test's own, and the veth pairs between them (network_namespaces(7),
//! veth(4)).
//!
//! A namespace is held by a descriptor and by nothing else: it has no name under `/run/netns`, so
//! it is gone with the test, however that ends. Needs CAP_SYS_ADMIN, and `ip` and `unshare`.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    os::fd::{AsFd, AsRawFd},
    panic::resume_unwind,
    process::{Command, Stdio},
    thread,
};

/// A network namespace: its own interfaces, addresses, routes and ports. Loopback is up in it.
///
/// Dropped when the value is and the last socket made in it is closed; its interfaces go with it.
///
/// ```
/// use std::net::TcpListener;
/// let Some(inside) = testkit::Netns::new() else { return };
/// let _here = TcpListener::bind("127.0.0.1:4711");
/// // The same port is free in there.
/// let listener = inside.run(|| TcpListener::bind("127.0.0.1:4711")).expect("free");
/// assert!(inside.ip("link show lo").contains("LOOPBACK,UP"));
/// # drop(listener);
/// ```
#[derive(Debug)]
pub struct Netns {
    file: File,
}

impl Netns {
    /// Makes one. `None`, said aloud with [`skip`](crate::skip()), if this process may not.
    ///
    /// # Panics
    ///
    /// If it was made and cannot be used.
    #[must_use]
    pub fn new() -> Option<Self> {
        match Self::make() {
            Ok(netns) => {
                netns.ip("link set lo up");
                Some(netns)
            }
            Err(why) => {
                crate::skip(format_args!("a network namespace needs CAP_SYS_ADMIN: {why}"));
                None
            }
        }
    }

    /// A process is born in the namespace and stays until its descriptor is taken. Unsharing a
    /// thread of this process would be an `unsafe` call.
    fn make() -> Result<Self, String> {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo inside; read _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare(1): {error}"))?;
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("it is piped");
        // An error reads as an empty line, which is an error.
        let _ = BufReader::new(stdout).read_line(&mut line);
        let file = File::open(format!("/proc/{}/ns/net", holder.id()));
        // Its standard input closes, `read` ends, and it is reaped.
        let output = holder.wait_with_output().map_err(|error| error.to_string())?;
        if line != "inside\n" {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        file.map(|file| Self { file }).map_err(|error| error.to_string())
    }

    /// Runs `body` inside, on a thread of its own. Sockets it makes, and processes it starts, stay
    /// inside wherever they are used afterwards. Blocks until it is done.
    ///
    /// # Panics
    ///
    /// If `body` does, or the namespace cannot be entered.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("who made a network namespace may enter it");
            body()
        };
        // Inherits nothing back: the thread ends inside.
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs `ip` inside with these arguments (`"addr add 192.0.2.1/24 dev veth0"`) and returns what
    /// it printed.
    ///
    /// # Panics
    ///
    /// If it fails, with what it said.
    pub fn ip(&self, arguments: &str) -> String {
        let mut command = Command::new("ip");
        command.args(arguments.split_whitespace()).stdin(Stdio::null());
        let output = self
            .run(|| command.output())
            .unwrap_or_else(|error| panic!("ip(8), of the package iproute2: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {arguments}: {}", errors.trim());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Where another process finds the namespace, for `ip link set … netns` and nsenter(1).
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }
}

/// Two network namespaces and a veth pair between them.
///
/// The interface is called `veth0` on both sides, is up, and has the addresses
/// [`LEFT`](Self::LEFT) and [`RIGHT`](Self::RIGHT).
///
/// ```
/// use std::net::{TcpListener, TcpStream};
/// use testkit::VethPair;
/// let Some(pair) = VethPair::new() else { return };
/// let listener = pair.right.run(|| TcpListener::bind((VethPair::RIGHT, 80))).expect("free");
/// let client = pair.left.run(|| TcpStream::connect((VethPair::RIGHT, 80))).expect("reached");
/// # drop((listener, client));
/// ```
#[derive(Debug)]
pub struct VethPair {
    /// The one side.
    pub left: Netns,
    /// The other.
    pub right: Netns,
}

impl VethPair {
    /// The address of the left side: of TEST-NET-1 (RFC 5737), so nobody else's.
    pub const LEFT: &str = "192.0.2.1";
    /// The address of the right side.
    pub const RIGHT: &str = "192.0.2.2";

    /// Makes one. `None`, said aloud with [`skip`](crate::skip()), if this process may not.
    ///
    /// # Panics
    ///
    /// If the namespaces were made and the pair cannot be.
    #[must_use]
    pub fn new() -> Option<Self> {
        let (left, right) = (Netns::new()?, Netns::new()?);
        left.ip(&format!("link add veth0 type veth peer name veth0 netns {}", right.path()));
        for (side, address) in [(&left, Self::LEFT), (&right, Self::RIGHT)] {
            side.ip(&format!("addr add {address}/24 dev veth0"));
            side.ip("link set veth0 up");
        }
        Some(Self { left, right })
    }
}

#[cfg(test)]
mod tests {
    use super::{Netns, VethPair};
    use std::{
        fs,
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        panic::{AssertUnwindSafe, catch_unwind},
    };

    fn interfaces() -> String {
        fs::read_to_string("/proc/thread-self/net/dev").unwrap()
    }

    #[test]
    fn has_loopback_and_nothing_else() {
        let Some(netns) = Netns::new() else { return };
        let inside = netns.run(interfaces);
        // Two lines of heading, one an interface.
        assert_eq!(inside.lines().count(), 3, "{inside}");
        assert!(inside.contains("lo:"), "{inside}");
        assert!(netns.ip("link show lo").contains("LOOPBACK,UP"));
    }

    #[test]
    fn the_caller_stays_outside() {
        let Some(netns) = Netns::new() else { return };
        let before = interfaces();
        netns.ip("link add dummy7 type veth peer name dummy8");
        assert!(netns.run(interfaces).contains("dummy7:"));
        assert_eq!(interfaces().contains("dummy7:"), before.contains("dummy7:"));
    }

    #[test]
    fn a_panic_comes_out() {
        let Some(netns) = Netns::new() else { return };
        let panic = catch_unwind(AssertUnwindSafe(|| netns.run(|| panic!("inside")))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"inside"));
    }

    #[test]
    fn veth_carries_a_connection() {
        let Some(pair) = VethPair::new() else { return };
        let listener = pair.right.run(|| TcpListener::bind((VethPair::RIGHT, 80))).unwrap();
        let mut client = pair.left.run(|| TcpStream::connect((VethPair::RIGHT, 80))).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_string(), VethPair::LEFT);
        client.write_all(b"ping").unwrap();
        let mut word = [0; 4];
        server.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"ping");
    }
}
