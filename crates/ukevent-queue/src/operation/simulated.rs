//! Operations on what a simulation has: the calls of the manual, answered by it.

use super::end::End;
use super::{Direction, Payload};
use crate::backend::sim::SimDescriptor;
use rustix::io::{Errno as Refusal, Result};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

impl End for &SimDescriptor {
    fn receive(self, room: &mut [u8]) -> Result<usize> {
        self.take_bytes(room)
    }

    fn send(self, bytes: &[u8], _more: bool) -> Result<usize> {
        self.give_bytes(bytes)
    }

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
