//! Operations on what a simulation has: the calls of the manual, answered by it.

use super::end::End;
use super::{Direction, Message, Payload};
use crate::backend::sim::SimDescriptor;
use rustix::io::{Errno as Refusal, Result};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use ukevent_buf::Piece;

impl End for &SimDescriptor {
    fn receive(self, room: &mut [u8]) -> Result<usize> {
        self.take_bytes(room)
    }

    fn send(self, bytes: &[u8], _more: bool) -> Result<usize> {
        self.give_bytes(bytes)
    }

    /// A piece at a time. There are neither addresses nor descriptors to be sent.
    fn send_message(self, message: &mut Message, skip: usize, _more: bool) -> Result<usize> {
        if !message.address().is_none() || !message.attached().is_empty() {
            return Err(Refusal::OPNOTSUPP);
        }
        self.give_bytes(message.rest(skip))
    }

    fn receive_message(self, message: &mut Message) -> Result<usize> {
        let mut buffers = message.pieces_mut().iter_mut().filter_map(|piece| match piece {
            Piece::Buffer(buffer) if buffer.tailroom() > 0 => Some(buffer),
            _ => None,
        });
        let buffer = buffers.next().ok_or(Refusal::INVAL)?;
        let count = self.take_bytes(buffer.tailroom_mut())?;
        buffer.advance(count).map_err(|_| Refusal::OVERFLOW)?;
        Ok(count)
    }

    fn push(self) {}

    fn send_file(self, _: BorrowedFd<'_>, _: &mut u64, _: usize) -> Result<usize> {
        Err(Refusal::OPNOTSUPP)
    }

    fn read(self, room: &mut [u8]) -> Result<usize> {
        self.take_bytes(room)
    }

    fn write(self, bytes: &[u8]) -> Result<usize> {
        self.give_bytes(bytes)
    }

    fn accept(self) -> Result<Payload> {
        self.take_connection().map(Payload::Simulated)
    }

    /// A simulation has no addresses: a test connects (`Sim::connect`).
    fn connect(self, _: SocketAddr) -> Result<()> {
        Err(Refusal::OPNOTSUPP)
    }

    fn error(self) -> Result<Result<()>> {
        Err(Refusal::OPNOTSUPP)
    }

    fn shutdown(self, how: Direction) -> Result<()> {
        self.close_side(how)
    }
}
