//! The bare ring's echo: multishot accept into the table of files, multishot receive into a ring of
//! provided buffers, and a send from that buffer, or of one page whatever was asked for (io_uring_setup_buf_ring(3),
//! io_uring_prep_recv_multishot(3), io_uring_prep_multishot_accept_direct(3)).
#![allow(unsafe_code, reason = "a bare ring is system calls and shared memory")]

use super::buffer_ring::BufferRing;
use super::ring::Ring;
use crate::tables::echo::{Echo, Endpoint, READ_BYTES, shared_buffers};
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, Fixed};
use io_uring::{cqueue, opcode};
use std::io::Error;
use std::os::fd::{AsRawFd, OwnedFd};
use ukevent_measure::Result;

const GROUP: u16 = 1;

/// The token of new connections. That of receiving is the file's index; that of a send has the
/// buffer's number above, and `SENT`. Nobody awaits those with `NOBODY`.
const ACCEPTED: u64 = u64::MAX;
const SENT: u64 = 1 << 63;
const NOBODY: u64 = 1 << 62;
const NUMBER_SHIFT: u32 = 32;

pub(crate) struct RingEcho {
    ring: Ring,
    buffers: BufferRing,
    /// What is answered; what came, if it is nothing.
    page: Option<&'static [u8]>,
    ended: usize,
}

/// Connections at a time, if there is no end of them.
const CONNECTIONS: usize = 1024;

/// Serves one page of so many bytes to whoever asks for anything, until it is ended: what a server of
/// static files cannot go below.
pub(crate) fn serve_page(endpoint: &Endpoint, bytes: usize) -> Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
    let page = [head.into_bytes(), vec![b'a'; bytes]].concat();
    RingEcho::serve_with(endpoint, CONNECTIONS, usize::MAX, Some(page.leak()))
}

impl Echo for RingEcho {
    fn serve(endpoint: &Endpoint, connections: usize) -> Result<()> {
        Self::serve_with(endpoint, connections, connections, None)
    }
}

impl RingEcho {
    /// Until so many connections have ended; `at_a_time` of them at most.
    fn serve_with(
        endpoint: &Endpoint,
        at_a_time: usize,
        connections: usize,
        page: Option<&'static [u8]>,
    ) -> Result<()> {
        let listener = OwnedFd::from(endpoint.listen()?);
        let ring = Ring::new()?;
        ring.submitter().register_files_sparse(at_a_time as u32)?;
        let buffers = BufferRing::new(&ring, GROUP, shared_buffers(at_a_time), READ_BYTES)?;
        let mut server = Self { ring, buffers, page, ended: 0 };
        let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()));
        let accept = accept.allocate_file_index(true).build().user_data(ACCEPTED);
        // SAFETY: accepting without an address lends no memory to the kernel.
        unsafe { server.ring.push([accept]) }?;
        let mut done = Vec::with_capacity(4096);
        while server.ended < connections {
            server.ring.enter(1)?;
            done.extend(server.ring.completions());
            for completion in done.drain(..) {
                server.take(&completion)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, completion: &cqueue::Entry) -> Result<()> {
        let (token, result) = (completion.user_data(), completion.result());
        match token {
            ACCEPTED if result >= 0 => self.receive(result as u32),
            ACCEPTED => Err(Error::from_raw_os_error(-result).into()),
            // The peer is gone, which receiving tells too.
            token if token & NOBODY != 0 => Ok(()),
            token if token & SENT != 0 => {
                let number = ((token & !SENT) >> NUMBER_SHIFT) as u16;
                self.buffers.provide(number);
                if result < 0 { Err(Error::from_raw_os_error(-result).into()) } else { Ok(()) }
            }
            index => self.received(index as u32, completion),
        }
    }

    fn received(&mut self, index: u32, completion: &cqueue::Entry) -> Result<()> {
        let flags = completion.flags();
        match completion.result() {
            len if len > 0 => {
                let number = cqueue::buffer_select(flags).ok_or("bytes without a buffer")?;
                match self.page {
                    Some(page) => self.answer(index, number, len as usize, page)?,
                    None => self.send_back(index, number, len as u32)?,
                }
                if cqueue::more(flags) { Ok(()) } else { self.receive(index) }
            }
            // All buffers are out; one comes back with every send.
            error if error == -libc::ENOBUFS => self.receive(index),
            // The end, or a reset, which is one too.
            _ => {
                self.ended += 1;
                let close = opcode::Close::new(Fixed(index)).build();
                // SAFETY: closing lends no memory to the kernel.
                unsafe { self.ring.push([close.flags(Flags::SKIP_SUCCESS).user_data(NOBODY)]) }
            }
        }
    }

    fn send_back(&mut self, index: u32, number: u16, len: u32) -> Result<()> {
        let token = SENT | u64::from(number) << NUMBER_SHIFT | u64::from(index);
        let send = opcode::Send::new(Fixed(index), self.buffers.place(number), len)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .user_data(token);
        // SAFETY: the buffer is ours until it is provided again, which happens once this send
        // completed; its memory is never freed.
        unsafe { self.ring.push([send]) }
    }

    /// Sends the page for each request; a request comes whole.
    fn answer(&mut self, index: u32, number: u16, len: usize, page: &'static [u8]) -> Result<()> {
        let came = self.buffers.bytes(number, len);
        let requests = came.windows(4).filter(|it| it == b"\r\n\r\n").count();
        if !came.ends_with(b"\r\n\r\n") {
            return Err("a request came in parts".into());
        }
        self.buffers.provide(number);
        let send = opcode::Send::new(Fixed(index), page.as_ptr(), page.len() as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(NOBODY);
        // SAFETY: the page is never freed.
        unsafe { self.ring.push(std::iter::repeat_n(send, requests)) }
    }

    fn receive(&mut self, index: u32) -> Result<()> {
        let receive: Entry = opcode::RecvMulti::new(Fixed(index), GROUP).build();
        // SAFETY: the memory is that of the provided buffers, which lives until the ring is closed.
        unsafe { self.ring.push([receive.user_data(u64::from(index))]) }
    }
}
