//! Addresses of sockets, as the kernel has them: `struct sockaddr` with its length (ip(7), ipv6(7),
//! unix(7)).

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddress;

/// The size of `struct sockaddr_storage`, in bytes.
const STORAGE_BYTES: usize = 128;

/// The address of a socket of any family, or none.
///
/// 136 bytes; allocates nothing.
///
/// ```
/// use std::net::SocketAddr;
/// use ukevent_sys::ring::Address;
///
/// let inet: SocketAddr = "[::1]:80".parse()?;
/// let address = Address::from(inet);
/// assert_eq!(address.to_inet(), Some(inet));
/// assert!(address.to_unix().is_none());
/// assert_eq!(Address::from_bytes(address.as_bytes()), Some(address));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
#[repr(C, align(8))]
#[doc(alias = "sockaddr_storage")]
pub struct Address {
    bytes: [u8; STORAGE_BYTES],
    length: u32,
}

impl Address {
    /// No address: of a socket that has none, or needs none because it is connected.
    pub const NONE: Self = Self { bytes: [0; STORAGE_BYTES], length: 0 };

    /// One from the bytes of a `struct sockaddr` of any family. `None` if there are more than 128.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut address = Self::NONE;
        address.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        address.length = bytes.len() as u32;
        Some(address)
    }

    /// The bytes of its `struct sockaddr`; none, if there is no address.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length as usize]
    }

    /// Whether there is no address.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.length == 0
    }

    /// The address and port, if it is of IPv4 or IPv6.
    #[must_use]
    pub fn to_inet(&self) -> Option<SocketAddr> {
        let bytes = self.as_bytes();
        let port = u16::from_be_bytes(array(bytes, 2)?);
        match self.family()? {
            libc::AF_INET => Some((Ipv4Addr::from(array::<4>(bytes, 4)?), port).into()),
            libc::AF_INET6 => {
                let flow = u32::from_ne_bytes(array(bytes, 4)?);
                let ip = Ipv6Addr::from(array::<16>(bytes, 8)?);
                let scope = u32::from_ne_bytes(array(bytes, 24)?);
                Some(SocketAddrV6::new(ip, port, flow, scope).into())
            }
            _ => None,
        }
    }

    /// The path or name, if it is of a Unix socket.
    #[must_use]
    pub fn to_unix(&self) -> Option<UnixAddress> {
        if self.family()? != libc::AF_UNIX {
            return None;
        }
        match &self.as_bytes()[2..] {
            [0, name @ ..] => UnixAddress::from_abstract_name(name).ok(),
            path => {
                let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                UnixAddress::from_pathname(OsStr::from_bytes(&path[..end])).ok()
            }
        }
    }

    fn family(&self) -> Option<i32> {
        Some(u16::from_ne_bytes(array(self.as_bytes(), 0)?).into())
    }

    fn of_parts(family: i32, parts: &[&[u8]]) -> Self {
        let mut address = Self::NONE;
        address.put(&(family as u16).to_ne_bytes());
        parts.iter().for_each(|part| address.put(part));
        address
    }

    /// Appends; what does not fit is cut.
    fn put(&mut self, part: &[u8]) {
        let room = &mut self.bytes[self.length as usize..];
        let fits = part.len().min(room.len());
        room[..fits].copy_from_slice(&part[..fits]);
        self.length += fits as u32;
    }

    /// Where the kernel reads it, and its length in bytes.
    pub(super) const fn lent(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        (self.bytes.as_ptr().cast(), self.length)
    }

    /// Where the kernel writes one, and how many bytes it may.
    pub(super) const fn room(&mut self) -> (*mut libc::c_void, libc::socklen_t) {
        (self.bytes.as_mut_ptr().cast(), STORAGE_BYTES as libc::socklen_t)
    }

    /// Takes so many bytes of what was written there for the address.
    pub(super) fn came(&mut self, bytes: libc::socklen_t) {
        self.length = bytes.min(STORAGE_BYTES as u32);
    }
}

/// `N` bytes at an offset, if there are so many.
fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset + N)?.try_into().ok()
}

impl Default for Address {
    fn default() -> Self {
        Self::NONE
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Address {}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let port = address.port().to_be_bytes();
        match address {
            // `sockaddr_in` is padded with eight zeros.
            SocketAddr::V4(v4) => {
                Self::of_parts(libc::AF_INET, &[&port, &v4.ip().octets(), &[0; 8]])
            }
            SocketAddr::V6(v6) => Self::of_parts(
                libc::AF_INET6,
                &[
                    &port,
                    &v6.flowinfo().to_ne_bytes(),
                    &v6.ip().octets(),
                    &v6.scope_id().to_ne_bytes(),
                ],
            ),
        }
    }
}

impl From<&UnixAddress> for Address {
    fn from(address: &UnixAddress) -> Self {
        if let Some(path) = address.as_pathname() {
            return Self::of_parts(libc::AF_UNIX, &[path.as_os_str().as_bytes(), &[0]]);
        }
        match address.as_abstract_name() {
            Some(name) => Self::of_parts(libc::AF_UNIX, &[&[0], name]),
            None => Self::of_parts(libc::AF_UNIX, &[]),
        }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.to_inet(), self.to_unix()) {
            (Some(inet), _) => write!(f, "Address({inet})"),
            (_, Some(unix)) => write!(f, "Address({unix:?})"),
            _ => write!(f, "Address({:02x?})", self.as_bytes()),
        }
    }
}
