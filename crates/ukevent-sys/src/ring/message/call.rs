//! The same messages by the system call, for those who wait for readiness: sendmsg(2), recvmsg(2).

use super::{Message, vector};
use crate::ring::Lend;
use crate::{Error, Result};
use std::os::fd::{AsFd, AsRawFd};

/// Buffers that one call takes (`UIO_MAXIOV`).
const MOST_BUFFERS: usize = 1024;

impl<L: Lend> Message<L> {
    /// Sends what is behind the first `skip` bytes, without blocking and without `SIGPIPE`; returns how
    /// many bytes left, which may be fewer than there are, at most those of 1,024 buffers. The address and
    /// the ancillary data go with the first of them, and so not if any are skipped. `more`: more follows
    /// at once (`MSG_MORE`).
    ///
    /// # Errors
    /// Those of sendmsg(2): `EAGAIN`, `EPIPE`, `EMSGSIZE`, …
    pub fn send(&mut self, socket: impl AsFd, skip: usize, more: bool) -> Result<usize> {
        let mut skipped = skip;
        let vectors = &mut self.view.vectors;
        vectors.clear();
        let mut all = true;
        for buffer in &self.buffers {
            let bytes = buffer.filled().cast_mut();
            let cut = skipped.min(bytes.len());
            skipped -= cut;
            if cut == bytes.len() {
                continue;
            }
            if vectors.len() == MOST_BUFFERS {
                all = false;
                break;
            }
            let mut rest = vector(bytes);
            rest.iov_base = rest.iov_base.wrapping_byte_add(cut);
            rest.iov_len -= cut;
            vectors.push(rest);
        }
        let header = self.head_filled();
        if skip > 0 {
            let header = &mut self.view.header;
            (header.msg_control, header.msg_controllen) = (std::ptr::null_mut(), 0);
        }
        let mut flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        flags |= if more || !all { libc::MSG_MORE } else { 0 };
        // SAFETY: the header, and the vectors, address and ancillary data that it points to, are parts
        // of this message, which is borrowed alone for the call; the bytes are those of its buffers,
        // which stay where they are until they are touched (`Lend`). The kernel only reads them.
        let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), header, flags) };
        usize::try_from(sent).map_err(|_| Error::last("sendmsg"))
    }

    /// Receives what is there, without blocking, into the room of the buffers; returns how many bytes
    /// came. Descriptors that come are close-on-exec, and the message's.
    ///
    /// # Errors
    /// Those of recvmsg(2): `EAGAIN`, `ENOTCONN`, …
    pub fn receive(&mut self, socket: impl AsFd) -> Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let header = self.lend_room();
        // SAFETY: as above; and the kernel writes only into the address, the ancillary data and the room
        // of the buffers, which are this message's alone.
        let received = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), header, flags) };
        let received = usize::try_from(received).map_err(|_| Error::last("recvmsg"));
        // SAFETY: it was lent to this receive, which has ended, wrote so much, and made the descriptors
        // for us.
        unsafe { self.came(received.as_ref().ok().copied()) };
        received
    }
}
