//! Where an operation is tried: a descriptor of the kernel's, or one of a simulation.
//!
//! What is tried, how often, and what is made of the answers is the same for both (`attempt`). No call
//! blocks, but what a pipe or device is asked without having said that it is ready.

use super::{Direction, Message, Payload};
use rustix::io::{Errno as Refusal, Result};
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// One end of what moves bytes. The calls are those of the manual, with its errors.
pub(crate) trait End: Copy {
    fn receive(self, room: &mut [u8]) -> Result<usize>;
    fn send(self, bytes: &[u8], more: bool) -> Result<usize>;
    /// Sends of what is behind so many bytes.
    fn send_message(self, message: &mut Message, skip: usize, more: bool) -> Result<usize>;
    fn receive_message(self, message: &mut Message) -> Result<usize>;
    /// Lets what waits for more leave.
    fn push(self);
    /// Advances the offset.
    fn send_file(self, file: BorrowedFd<'_>, offset: &mut u64, bytes: usize) -> Result<usize>;
    fn read(self, room: &mut [u8]) -> Result<usize>;
    fn write(self, bytes: &[u8]) -> Result<usize>;
    fn accept(self) -> Result<Payload>;
    fn connect(self, address: SocketAddr) -> Result<()>;
    /// What it came to after it began to connect: `SO_ERROR`.
    fn error(self) -> Result<Result<()>>;
    fn shutdown(self, how: Direction) -> Result<()>;
}

impl End for BorrowedFd<'_> {
    fn receive(self, room: &mut [u8]) -> Result<usize> {
        rustix::net::recv(self, room, RecvFlags::DONTWAIT).map(|(count, _)| count)
    }

    fn send(self, bytes: &[u8], more: bool) -> Result<usize> {
        let mut flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, more);
        rustix::net::send(self, bytes, flags)
    }

    fn send_message(self, message: &mut Message, skip: usize, more: bool) -> Result<usize> {
        message.ring_mut().send(self, skip, more).map_err(refusal)
    }

    fn receive_message(self, message: &mut Message) -> Result<usize> {
        message.ring_mut().receive(self).map_err(refusal)
    }

    fn push(self) {
        use rustix::net::sockopt::{set_tcp_nodelay, tcp_nodelay};
        // Setting it pushes (tcp(7)). What is no TCP kept nothing back.
        if let Ok(was) = tcp_nodelay(self) {
            let _ = set_tcp_nodelay(self, true);
            let _ = set_tcp_nodelay(self, was);
        }
    }

    fn send_file(self, file: BorrowedFd<'_>, offset: &mut u64, bytes: usize) -> Result<usize> {
        rustix::fs::sendfile(self, file, Some(offset), bytes)
    }

    fn read(self, room: &mut [u8]) -> Result<usize> {
        rustix::io::read(self, room)
    }

    fn write(self, bytes: &[u8]) -> Result<usize> {
        rustix::io::write(self, bytes)
    }

    fn accept(self) -> Result<Payload> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        rustix::net::accept_with(self, flags).map(Payload::Descriptor)
    }

    fn connect(self, address: SocketAddr) -> Result<()> {
        rustix::net::connect(self, &address)
    }

    fn error(self) -> Result<Result<()>> {
        rustix::net::sockopt::socket_error(self)
    }

    fn shutdown(self, how: Direction) -> Result<()> {
        let how = match how {
            Direction::Receiving => Shutdown::Read,
            Direction::Sending => Shutdown::Write,
            Direction::Both => Shutdown::Both,
        };
        rustix::net::shutdown(self, how)
    }
}

fn refusal(error: ukevent_sys::Error) -> Refusal {
    Refusal::from_raw_os_error(error.errno())
}
