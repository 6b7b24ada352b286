//! The load: a bare ring, and for each connection one message on its way.
#![allow(unsafe_code, reason = "submissions are unsafe to push")]

use super::MESSAGE_BYTES;
use crate::rivals::ring::Ring;
use io_uring::opcode;
use io_uring::squeue::Flags;
use io_uring::types::{Fd, Timespec};
use std::io::Error;
use std::os::fd::{AsRawFd, OwnedFd};
use ukevent_measure::Random;
use ukevent_measure::Result;

type Message = [u8; MESSAGE_BYTES];

/// The token of the time-out; connections have their place.
const GIVE_UP: u64 = 1 << 40;
/// In the token of a send, which completes only if it fails.
const SENT: u64 = 1 << 41;
/// An exchange that takes longer has lost something.
const GIVE_UP_AFTER: Timespec = Timespec::new().sec(60);

pub(super) struct Load {
    ring: Ring,
    sockets: Vec<OwnedFd>,
    /// What was sent last, by place. Neither this nor `incoming` is ever resized.
    outgoing: Box<[Message]>,
    incoming: Box<[Message]>,
    random: Random,
    /// Messages that have not come back.
    under_way: usize,
    /// Places whose echo has come in this turn.
    came: Vec<usize>,
}

impl Load {
    pub(super) fn new(sockets: Vec<OwnedFd>) -> Result<Self> {
        let mut ring = Ring::new()?;
        let give_up = opcode::Timeout::new(&GIVE_UP_AFTER).build().user_data(GIVE_UP);
        // SAFETY: the time is static.
        unsafe { ring.push([give_up]) }?;
        let messages = || vec![[0; MESSAGE_BYTES]; sockets.len()].into_boxed_slice();
        let (outgoing, incoming) = (messages(), messages());
        let came = Vec::with_capacity(sockets.len());
        Ok(Self { ring, sockets, outgoing, incoming, random: Random::new(4), under_way: 0, came })
    }

    /// Sends so many messages, at least one over each connection, and returns how many came back
    /// unchanged when all have. Any other is an error.
    pub(super) fn exchange(&mut self, messages: u64) -> Result<u64> {
        let mut to_send = messages;
        for place in 0..self.sockets.len() {
            if to_send > 0 {
                self.send(place)?;
                to_send -= 1;
            }
        }
        let mut echoes = 0;
        while self.under_way > 0 {
            self.ring.enter(1)?;
            self.take()?;
            let came = std::mem::take(&mut self.came);
            for &place in &came {
                if self.incoming[place] != self.outgoing[place] {
                    return Err("a message came back changed".into());
                }
                echoes += 1;
                if to_send > 0 {
                    self.send(place)?;
                    to_send -= 1;
                }
            }
            self.came = came;
            self.came.clear();
        }
        Ok(echoes)
    }

    /// Makes a message, sends it, and awaits as many bytes.
    fn send(&mut self, place: usize) -> Result<()> {
        let (outgoing, incoming) = (&mut self.outgoing[place], &mut self.incoming[place]);
        for part in outgoing.chunks_exact_mut(8) {
            part.copy_from_slice(&self.random.next().to_ne_bytes());
        }
        incoming.fill(0);
        let (socket, len) = (Fd(self.sockets[place].as_raw_fd()), MESSAGE_BYTES as u32);
        let send = opcode::Send::new(socket, outgoing.as_ptr(), len)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .flags(Flags::SKIP_SUCCESS)
            .user_data(SENT | place as u64);
        let receive = opcode::Recv::new(socket, incoming.as_mut_ptr(), len)
            .flags(libc::MSG_WAITALL)
            .build()
            .user_data(place as u64);
        // SAFETY: both messages stay where they are, and untouched, until the receiving completes:
        // `take` tells of that, and `drop` leaks them before. Then the sending is over too, because
        // all its bytes came back.
        unsafe { self.ring.push([send, receive]) }?;
        self.under_way += 1;
        Ok(())
    }

    /// Notes what came back.
    fn take(&mut self) -> Result<()> {
        for completion in self.ring.completions() {
            match (completion.user_data(), completion.result()) {
                (GIVE_UP, _) => return Err("not all messages came back within 60 s".into()),
                (token, result) if result < 0 => {
                    let what = if token & SENT != 0 { "sending" } else { "receiving" };
                    return Err(format!("{what}: {}", Error::from_raw_os_error(-result)).into());
                }
                (token, result) if token & SENT == 0 => {
                    if result as usize != MESSAGE_BYTES {
                        return Err(format!("of a message {result} bytes came back").into());
                    }
                    self.under_way -= 1;
                    self.came.push(token as usize);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if self.under_way > 0 {
            // The kernel may still write there.
            Box::leak(std::mem::take(&mut self.outgoing));
            Box::leak(std::mem::take(&mut self.incoming));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Load, MESSAGE_BYTES};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::thread::JoinHandle;

    type Answer = fn(&mut UnixStream, &mut [u8]) -> std::io::Result<()>;

    /// A load on three connections, and a peer of each that answers in this way.
    fn load(answer: Answer) -> (Load, Vec<JoinHandle<()>>) {
        let pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
        let (sockets, peers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let serve = |mut peer: UnixStream| {
            std::thread::spawn(move || {
                let mut message = [0; MESSAGE_BYTES];
                while peer.read_exact(&mut message).is_ok() {
                    if answer(&mut peer, &mut message).is_err() {
                        return;
                    }
                }
            })
        };
        let peers = peers.into_iter().map(serve).collect();
        (Load::new(sockets.into_iter().map(Into::into).collect()).unwrap(), peers)
    }

    /// What a load of so many messages comes to.
    fn exchanged(answer: Answer, messages: u64) -> Result<u64, String> {
        let (mut load, peers) = load(answer);
        let outcome = load.exchange(messages).map_err(|error| error.to_string());
        drop(load);
        peers.into_iter().for_each(|peer| peer.join().unwrap());
        outcome
    }

    #[test]
    fn counts_what_came_back() {
        assert_eq!(exchanged(|peer, message| peer.write_all(message), 2), Ok(2));
        assert_eq!(exchanged(|peer, message| peer.write_all(message), 100), Ok(100));
    }

    #[test]
    fn sees_one_bit() {
        let flipped = |peer: &mut UnixStream, message: &mut [u8]| {
            message[MESSAGE_BYTES - 1] ^= 1;
            peer.write_all(message)
        };
        assert_eq!(exchanged(flipped, 1).unwrap_err(), "a message came back changed");
    }

    #[test]
    fn sees_an_end() {
        let cut_short = |peer: &mut UnixStream, message: &mut [u8]| {
            peer.write_all(&message[..10])?;
            Err(std::io::ErrorKind::Other.into())
        };
        assert_eq!(exchanged(cut_short, 3).unwrap_err(), "of a message 10 bytes came back");
    }
}
