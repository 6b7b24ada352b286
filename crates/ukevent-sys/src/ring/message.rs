//! A message: bytes in several buffers, an address, and ancillary data (sendmsg(2), recvmsg(2)).
//!
//! The kernel reads and writes it through a `struct msghdr`, which points to all its parts. That
//! header lies in the message, is filled in when the message is lent, and read when it comes back: in
//! between the message is in a box that belongs to the ring.

mod call;

use super::ancillary::{self, ControlMessage};
use super::{Address, Lend};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// `UDP_SEGMENT` and `UDP_GRO` of udp(7).
const SEGMENT: i32 = 103;
const COALESCED: i32 = 104;

/// What one send sends or one receive fills, boxed when an operation is started.
///
/// When it comes back it can be started again, received or sent: an answer goes to the address that
/// the question came from. Dropping it drops its buffers and closes the descriptors that came with it.
///
/// ```
/// use ukevent_sys::ring::{Address, Message};
///
/// let to: std::net::SocketAddr = "127.0.0.1:53".parse()?;
/// let message = Message::new(vec![b"head".to_vec(), b"body".to_vec()]).to(Address::from(to));
/// assert_eq!(message.address().to_inet(), Some(to));
/// assert_eq!(message.into_buffers().concat(), b"headbody");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[doc(alias = "msghdr")]
pub struct Message<L> {
    buffers: Vec<L>,
    address: Address,
    /// To be sent.
    control: Vec<u8>,
    attached: Vec<OwnedFd>,
    /// What came, and how much may.
    received: Vec<u8>,
    control_room: usize,
    descriptors: Vec<OwnedFd>,
    flags: i32,
    view: View,
}

/// The kernel's view, valid while the message is lent.
struct View {
    header: libc::msghdr,
    vectors: Vec<libc::iovec>,
    /// The ancillary data that is sent, where descriptors are part of it.
    control: Vec<u8>,
}

// SAFETY: its pointers point into the message that it is part of, and to buffers that are `Send`; it
// reads through none of them.
unsafe impl Send for View {}
// SAFETY: a shared reference to it gives nothing; what its pointers point to is read through `&mut` only.
unsafe impl Sync for View {}

impl<L: Lend> Message<L> {
    /// One of these buffers, without address and ancillary data. The kernel takes up to 1,024.
    #[must_use]
    pub fn new(buffers: Vec<L>) -> Self {
        Self {
            buffers,
            address: Address::NONE,
            control: Vec::new(),
            attached: Vec::new(),
            received: Vec::new(),
            control_room: 0,
            descriptors: Vec::new(),
            flags: 0,
            view: View { header: no_header(), vectors: Vec::new(), control: Vec::new() },
        }
    }

    /// Sets where it is sent to. A connected socket needs none.
    #[must_use]
    pub fn to(mut self, address: Address) -> Self {
        self.address = address;
        self
    }

    /// Adds ancillary data to be sent, of one level and type of cmsg(3). Descriptors in it
    /// (`SCM_RIGHTS`) are numbers, which must be open until the message was submitted.
    #[must_use]
    pub fn control(mut self, level: i32, kind: i32, data: &[u8]) -> Self {
        ancillary::append(&mut self.control, level, kind, data);
        self
    }

    /// Adds a descriptor to be sent (`SCM_RIGHTS` of unix(7)). The message owns it, also after it was
    /// sent; the peer has another one of the same file.
    pub fn attach(&mut self, descriptor: OwnedFd) {
        self.attached.push(descriptor);
    }

    /// The descriptors that are sent with it.
    #[must_use]
    pub fn attached(&self) -> &[OwnedFd] {
        &self.attached
    }

    /// Takes the descriptors that are sent with it.
    #[must_use]
    pub fn take_attached(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.attached)
    }

    /// Lets the kernel cut the bytes into datagrams of so many each (`UDP_SEGMENT` of udp(7)). Linux 4.18.
    #[must_use]
    pub fn segments(self, bytes: u16) -> Self {
        self.control(libc::SOL_UDP, SEGMENT, &bytes.to_ne_bytes())
    }

    /// Of how many bytes each, but the last, the datagrams were that came as one (`UDP_GRO` of udp(7));
    /// `None` if it is one. Linux 5.0.
    #[must_use]
    pub fn received_segments(&self) -> Option<u16> {
        let mut of_udp =
            self.received().filter(|it| (it.level, it.kind) == (libc::SOL_UDP, COALESCED));
        let bytes = i32::from_ne_bytes(of_udp.next()?.data.get(..4)?.try_into().ok()?);
        u16::try_from(bytes).ok()
    }

    /// Sets how much ancillary data may be received, in bytes, with 16 and padding for each piece.
    #[must_use]
    pub fn control_room(mut self, bytes: usize) -> Self {
        self.control_room = bytes;
        self
    }

    /// Sets where it is sent to, of one that is at hand.
    pub const fn set_address(&mut self, address: Address) {
        self.address = address;
    }

    /// Its buffers.
    #[must_use]
    pub fn buffers(&self) -> &[L] {
        &self.buffers
    }

    /// Its buffers, to be changed.
    #[must_use]
    pub fn buffers_mut(&mut self) -> &mut Vec<L> {
        &mut self.buffers
    }

    /// Its buffers, without the rest.
    #[must_use]
    pub fn into_buffers(self) -> Vec<L> {
        self.buffers
    }

    /// Where it goes to, or came from.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The ancillary data that came. Numbers of descriptors in it are of those that
    /// [`Message::take_descriptors`] gives.
    pub fn received(&self) -> impl Iterator<Item = ControlMessage<'_>> {
        ancillary::messages(&self.received)
    }

    /// The descriptors that came (`SCM_RIGHTS`, `SCM_PIDFD`), close-on-exec.
    #[must_use]
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    /// Whether there was more of the datagram than room (`MSG_TRUNC`).
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.flags & libc::MSG_TRUNC != 0
    }

    /// Whether there was more ancillary data than room (`MSG_CTRUNC`). Descriptors that did not fit
    /// are closed.
    #[must_use]
    pub const fn is_control_truncated(&self) -> bool {
        self.flags & libc::MSG_CTRUNC != 0
    }

    /// The header of a message to be sent. It and all it points to stay as they are until the message
    /// is touched again.
    pub(super) fn lend_filled(&mut self) -> *const libc::msghdr {
        let vectors = &mut self.view.vectors;
        vectors.clear();
        vectors.extend(self.buffers.iter().map(|buffer| vector(buffer.filled().cast_mut())));
        self.head_filled()
    }

    /// The same of what the vectors say.
    fn head_filled(&mut self) -> *const libc::msghdr {
        let View { header, vectors, control } = &mut self.view;
        *header = no_header();
        if !self.address.is_none() {
            let (address, length) = self.address.lent();
            header.msg_name = address.cast_mut().cast();
            header.msg_namelen = length;
        }
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len() as _;
        control.clear();
        control.extend_from_slice(&self.control);
        if !self.attached.is_empty() {
            let numbers = self.attached.iter().flat_map(|it| it.as_raw_fd().to_ne_bytes());
            ancillary::append(
                control,
                libc::SOL_SOCKET,
                libc::SCM_RIGHTS,
                &Vec::from_iter(numbers),
            );
        }
        if !control.is_empty() {
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = control.len() as _;
        }
        &raw const *header
    }

    /// The header of a message to be received; as above.
    pub(super) fn lend_room(&mut self) -> *mut libc::msghdr {
        self.descriptors.clear();
        self.flags = 0;
        self.received.clear();
        self.received.resize(self.control_room, 0);
        let vectors = &mut self.view.vectors;
        vectors.clear();
        vectors.extend(self.buffers.iter_mut().map(|buffer| vector(buffer.room())));
        let header = &mut self.view.header;
        *header = no_header();
        self.address.came(0);
        (header.msg_name, header.msg_namelen) = self.address.room();
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len() as _;
        if !self.received.is_empty() {
            header.msg_control = self.received.as_mut_ptr().cast();
            header.msg_controllen = self.received.len() as _;
        }
        &raw mut *header
    }

    /// Takes what came; `None` if nothing did, because the receive failed.
    ///
    /// # Safety
    /// It was lent by `lend_room` to a receive that has ended and wrote so many bytes, and
    /// descriptors that nobody else owns.
    pub(super) unsafe fn came(&mut self, bytes: Option<usize>) {
        let header = self.view.header;
        self.view.header = no_header();
        let Some(mut left) = bytes else {
            self.received.clear();
            return;
        };
        for buffer in &mut self.buffers {
            let here = left.min(buffer.room().len());
            // SAFETY: the kernel fills the buffers in their order, each before the next.
            unsafe { buffer.commit(here) };
            left -= here;
        }
        self.flags = header.msg_flags;
        self.address.came(header.msg_namelen);
        self.received.truncate(header.msg_controllen as _);
        for number in ancillary::descriptors(&self.received) {
            // SAFETY: the kernel made this descriptor for us just now, says the caller.
            self.descriptors.push(unsafe { OwnedFd::from_raw_fd(number as RawFd) });
        }
    }
}

fn vector(bytes: *mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.cast(), iov_len: bytes.len() }
}

fn no_header() -> libc::msghdr {
    // SAFETY: it consists of integers and of pointers that may be null.
    unsafe { std::mem::zeroed() }
}

impl<L> std::fmt::Debug for Message<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("buffers", &self.buffers.len())
            .field("address", &self.address)
            .field("descriptors", &self.descriptors)
            .finish_non_exhaustive()
    }
}
