//! What can be asked of the kernel with memory or descriptors lent to it.

use super::{Address, How, Message, Status};
use bitflags::bitflags;
use std::ffi::CString;
use std::net::Shutdown;
use std::os::fd::{OwnedFd, RawFd};

/// Something to be done, with all that the kernel needs for it; started by
/// [`Ring::start`](super::Ring::start).
///
/// A descriptor is named by its number, as in [`Submission::poll`](super::Submission::poll): it must be
/// open until the operation was submitted, by an entering; then the kernel holds the file. Each result
/// is what the system call of that name would return, or a negated errno. Unless it says otherwise, an
/// operation completes once, waits for as long as it takes, and is of a kernel that any
/// [`Ring`](super::Ring) has anyhow (Linux 6.1).
///
/// ```
/// use ukevent_sys::ring::{EnterWait, Load, Operation, Ring, RingOptions};
/// use std::io::Write;
/// use std::os::fd::AsRawFd;
///
/// # fn main() -> std::io::Result<()> {
/// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
/// // Where io_uring is denied there is nothing to show.
/// let Ok(mut ring) = Ring::new(RingOptions { submissions: 8, completions: 16 }) else { return Ok(()) };
/// ring.enable()?;
/// let buffer = Vec::with_capacity(64);
/// let fd = reader.as_raw_fd();
/// ring.start(7, Operation::Receive { fd, buffer, flags: Default::default() }).expect("room for 8");
/// writer.write_all(b"hello")?;
/// ring.enter(EnterWait { completions: 1, ..Default::default() })?;
/// for completed in ring.completions() {
///     assert_eq!((completed.user_data, completed.result), (7, 5));
///     assert!(matches!(completed.load, Load::Buffer(buffer) if buffer == b"hello"));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Operation<L> {
    /// Takes a connection from a listener, close-on-exec: [`Load::Descriptor`](super::Load), and a
    /// result of 0. With `each` every one that comes, until it is cancelled or fails (`EMFILE`). The
    /// peer's address is asked of the descriptor (getpeername(2)). accept4(2).
    Accept {
        /// The listener.
        listener: RawFd,
        /// Whether to go on.
        each: bool,
        /// Whether the connection's descriptor is non-blocking (`SOCK_NONBLOCK`). Operations of a ring
        /// wait all the same, but for [`Operation::Read`] and [`Operation::Write`].
        nonblocking: bool,
    },
    /// Connects a socket. connect(2).
    Connect {
        /// The socket.
        fd: RawFd,
        /// To what; in a box, because the kernel reads it later.
        address: Box<Address>,
    },
    /// Receives into the buffer's room what is there, once something is. 0 is the end of a stream; also
    /// the answer if there is no room. recv(2).
    Receive {
        /// The socket.
        fd: RawFd,
        /// Comes back with what was received.
        buffer: L,
        /// How.
        flags: ReceiveFlags,
    },
    /// Receives each time something is there, into a buffer that was provided to the group
    /// ([`Ring::provide`](super::Ring::provide)) and comes with the completion. Ends with the end of
    /// the stream (0), with an error, and with `ENOBUFS` when the group is empty. recv(2).
    ReceiveEach {
        /// The socket.
        fd: RawFd,
        /// The group of buffers.
        group: u16,
        /// Ends too when so many bytes came, or a buffer's worth more; 0 is without end. Linux 6.17;
        /// `EINVAL` before.
        most_bytes: u32,
    },
    /// Reads each time something is there, into a buffer of a group as above: from a pipe, or another
    /// file that says when it is readable; `EBADFD` from one that does not. Linux 6.7; asked by
    /// [`Ring::reads_each`](super::Ring::reads_each). read(2).
    #[doc(alias = "IORING_OP_READ_MULTISHOT")]
    ReadEach {
        /// The pipe.
        fd: RawFd,
        /// The group of buffers.
        group: u16,
    },
    /// Sends all of the buffer's bytes: less only if it fails on the way (`MSG_WAITALL`). A connection
    /// that is gone is `EPIPE` without a signal (`MSG_NOSIGNAL`). One at a time for each stream, or
    /// their order is lost. send(2).
    Send {
        /// The socket.
        fd: RawFd,
        /// Comes back as it is.
        buffer: L,
        /// Whether more follows at once, which lets the kernel wait for it (`MSG_MORE`).
        more: bool,
    },
    /// Sends the bytes of a message's buffers, one after the other, with its address and ancillary
    /// data; else as [`Operation::Send`]. sendmsg(2).
    SendMessage {
        /// The socket.
        fd: RawFd,
        /// Comes back as it is.
        message: Box<Message<L>>,
        /// As in [`Operation::Send`].
        more: bool,
    },
    /// Receives into the room of a message's buffers, with the sender's address and ancillary data;
    /// else as [`Operation::Receive`]. recvmsg(2).
    ReceiveMessage {
        /// The socket.
        fd: RawFd,
        /// Comes back with what was received.
        message: Box<Message<L>>,
        /// How.
        flags: ReceiveFlags,
    },
    /// As [`Operation::Send`], without copying the bytes where the device can do without. Completes
    /// twice: first with the result (`more` is set) and then, with 0, when the kernel has let go of the
    /// bytes; on TCP that is when the peer has acknowledged them. Only the last one brings the buffer, as
    /// [`Load::Released`](super::Load::Released). If the first is the last, nothing was sent.
    #[doc(alias = "IORING_OP_SEND_ZC")]
    SendZero {
        /// The socket.
        fd: RawFd,
        /// Comes back as it is.
        buffer: L,
        /// As in [`Operation::Send`].
        more: bool,
    },
    /// Ends one or both directions of a connection. shutdown(2).
    Shutdown {
        /// The socket.
        fd: RawFd,
        /// Which directions.
        how: Shutdown,
    },
    /// Closes a descriptor, whatever the result; but if it is `ECANCELED`, which only the end of the
    /// ring can cause, the descriptor comes back. It is not cancelled otherwise. close(2).
    Close {
        /// What is closed.
        fd: OwnedFd,
    },
    /// Opens a file, close-on-exec: [`Load::Descriptor`](super::Load), and a result of 0. openat(2).
    Open {
        /// Where a relative path begins; `None` is the current directory.
        directory: Option<RawFd>,
        /// The path.
        path: CString,
        /// `O_…` of open(2).
        flags: i32,
        /// The permissions of a file that is made, less the umask.
        mode: u32,
    },
    /// The same with more to say of how. openat2(2).
    OpenHow {
        /// Where a relative path begins; `None` is the current directory.
        directory: Option<RawFd>,
        /// The path.
        path: CString,
        /// How; in a box, because the kernel reads it later.
        how: Box<How>,
    },
    /// Reads into the buffer's room, once; less than fits is no error, 0 is the end. A file that is
    /// `O_NONBLOCK` and has nothing answers `EAGAIN`. pread(2).
    Read {
        /// The file.
        fd: RawFd,
        /// Comes back with what was read.
        buffer: L,
        /// Where, in bytes; `None` is the position of the file, and moves it.
        offset: Option<u64>,
    },
    /// Writes the buffer's bytes, once; fewer is no error. `O_NONBLOCK` as above. pwrite(2).
    Write {
        /// The file.
        fd: RawFd,
        /// Comes back as it is.
        buffer: L,
        /// As above.
        offset: Option<u64>,
    },
    /// Brings what was written to the disk. fsync(2), fdatasync(2).
    Sync {
        /// The file.
        fd: RawFd,
        /// Without what only its inode says (times).
        data_only: bool,
    },
    /// Asks for the status of a file. statx(2).
    Stat {
        /// Where a relative path begins, or the file itself; `None` is the current directory.
        directory: Option<RawFd>,
        /// The path; `None` is what `directory` says.
        path: Option<CString>,
        /// Whether a symbolic link at the end of the path is followed.
        follow: bool,
        /// Comes back filled in, if the result is 0.
        status: Box<Status>,
    },
}

impl<L> Operation<L> {
    /// The group of buffers that it receives into.
    #[inline(always)]
    pub(super) const fn group(&self) -> Option<u16> {
        match self {
            Self::ReceiveEach { group, .. } | Self::ReadEach { group, .. } => Some(*group),
            _ => None,
        }
    }
}

bitflags! {
    /// How to receive: flags of recv(2).
    ///
    /// ```
    /// use ukevent_sys::ring::ReceiveFlags;
    /// assert_eq!(ReceiveFlags::default(), ReceiveFlags::empty());
    /// ```
    // Not MSG_TRUNC: TCP then counts bytes that it did not write.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ReceiveFlags: i32 {
        /// Out-of-band data (`MSG_OOB`).
        const URGENT = libc::MSG_OOB;
        /// Leaves what it returns in the socket (`MSG_PEEK`).
        const PEEK = libc::MSG_PEEK;
        /// Does not wait: `EAGAIN` if there is nothing (`MSG_DONTWAIT`).
        const NO_WAIT = libc::MSG_DONTWAIT;
        /// Waits until the room is full; less comes only at the end of the stream, with an error, or
        /// if it is cancelled (`MSG_WAITALL`).
        const FILL = libc::MSG_WAITALL;
        /// From the queue of errors (`MSG_ERRQUEUE`).
        const ERRORS = libc::MSG_ERRQUEUE;
    }
}
