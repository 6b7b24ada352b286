//! A non-blocking socket as a [`Wire`].

use crate::{
    connection::{Sent, Wire},
    entity::FilePart,
};
use rustix::{
    fs::sendfile,
    io::Errno,
    net::{SendFlags, Shutdown, send, shutdown},
};
use std::os::fd::BorrowedFd;
use ukevent_sys::socket::unsent_bytes;

/// A connected socket.
pub(super) struct SocketWire<'a>(pub(super) BorrowedFd<'a>);

impl Wire for SocketWire<'_> {
    fn send(&mut self, bytes: &[u8], more: bool) -> Sent {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let flags = if more { flags | SendFlags::MORE } else { flags };
        sent(|| send(self.0, bytes, flags))
    }

    fn send_file(&mut self, part: &FilePart, most: u64) -> Sent {
        let Some(file) = part.file() else { return Sent::Broken };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        sent(|| {
            let mut offset = part.offset;
            sendfile(self.0, file, Some(&mut offset), most)
        })
    }

    fn end(&mut self) {
        // It fails if the peer has ended it all already.
        let _ = shutdown(self.0, Shutdown::Write);
    }

    fn outstanding(&mut self) -> Option<u64> {
        unsent_bytes(self.0).ok().flatten().map(u64::from)
    }
}

fn sent(mut call: impl FnMut() -> Result<usize, Errno>) -> Sent {
    loop {
        return match call() {
            // The file is shorter than it was.
            Ok(0) => Sent::Broken,
            Ok(bytes) => Sent::Bytes(bytes),
            Err(Errno::AGAIN) => Sent::Blocked,
            Err(Errno::INTR) => continue,
            Err(_) => Sent::Broken,
        };
    }
}
