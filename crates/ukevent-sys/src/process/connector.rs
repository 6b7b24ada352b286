//! The process connector: the kernel's news of every fork and execution on the machine
//! (`drivers/connector/cn_proc.c`, `include/uapi/linux/cn_proc.h`; Linux 2.6.15).
//!
//! It speaks to the initial process, user and network namespaces only, and before Linux 6.6 to
//! CAP_NET_ADMIN only. It refuses in three ways: an errno, a negative answer, and no answer at all
//! where the namespace is another. The answer is in the socket when the request returns, so silence
//! is a refusal too.

use crate::{
    Error, Result,
    netlink::{self, NetlinkSocket, Received, u16_at, u32_at},
};
use std::os::fd::{AsFd, BorrowedFd};

/// `CN_IDX_PROC` and `CN_VAL_PROC`: the connector's address, the first also its multicast group.
const ADDRESS: (u32, u32) = (1, 1);
/// `PROC_CN_MCAST_LISTEN`, `PROC_CN_MCAST_IGNORE`.
const LISTEN: u32 = 1;
const IGNORE: u32 = 2;
/// `PROC_EVENT_*`.
const ANSWER: u32 = 0;
const FORK: u32 = 0x1;
const EXEC: u32 = 0x2;
/// Bytes of `struct cn_msg` without its data, and of `struct proc_event` before its union.
const CN_MSG_BYTES: usize = 20;
const EVENT_HEAD_BYTES: usize = 16;
/// `NLMSG_DONE`, the type of the connector's datagrams.
const DONE: u16 = 3;

/// What the process connector told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcMessage {
    /// A process made a child process. New threads are left out.
    Forked {
        /// The process that is its parent.
        parent: i32,
        /// The new process.
        child: i32,
    },
    /// A process executed another program.
    Executed {
        /// The process.
        pid: i32,
    },
}

/// A socket that hears of every fork and execution on the machine. Dropping closes it and tells the
/// kernel that it has a listener less.
///
/// ```
/// use ukevent_sys::process::ProcConnector;
///
/// match ProcConnector::open() {
///     Ok(connector) => drop(connector),
///     Err(error) => eprintln!("not here: {error}"),
/// }
/// ```
#[derive(Debug)]
pub struct ProcConnector {
    socket: NetlinkSocket,
}

impl ProcConnector {
    /// Starts listening.
    ///
    /// # Errors
    /// `EPERM`: the process may not, or is not in the initial namespaces. `EPROTONOSUPPORT`: the
    /// kernel has no process connector. `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn open() -> Result<Self> {
        let connectors = Some(rustix::net::netlink::CONNECTOR);
        let connector = Self { socket: NetlinkSocket::joined(connectors, &[ADDRESS.0])? };
        match connector.listen()? {
            Some(0) => {}
            // The kernel has put either sign into the answer.
            Some(errno) => return Err(Error::new("PROC_CN_MCAST_LISTEN", errno.wrapping_abs())),
            None => return Err(Error::new("PROC_CN_MCAST_LISTEN", libc::EPERM)),
        }
        // Since Linux 6.6 the request may name the kinds of events, but then the answer is no longer
        // among them. Before, one that does is passed over, and all kinds come.
        connector.send(&[LISTEN, FORK | EXEC], 0)?;
        Ok(connector)
    }

    /// Asks to listen. `None` if no answer came, else the answer: 0 or an errno.
    fn listen(&self) -> Result<Option<i32>> {
        // Whoever asks is answered in the hearing of all: the answer names the question.
        let question = std::process::id();
        match self.send(&[LISTEN], question) {
            // No connector in this network namespace.
            Err(error) if error.errno() == libc::ECONNREFUSED => return Ok(None),
            sent => sent?,
        }
        let mut buffer = [0; 1024];
        loop {
            match self.socket.receive(&mut buffer)? {
                Received::Nothing => return Ok(None),
                Received::Overrun => {}
                Received::Datagram(len) => {
                    let answer = parts(&buffer[..len])
                        .find(|part| part.what == ANSWER && part.answers(question))
                        .and_then(|part| part.word(0));
                    if answer.is_some() {
                        return Ok(answer);
                    }
                }
            }
        }
    }

    fn send(&self, words: &[u32], question: u32) -> Result<()> {
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut message = Vec::with_capacity(CN_MSG_BYTES + data.len());
        for word in [ADDRESS.0, ADDRESS.1, 0, question] {
            message.extend_from_slice(&word.to_ne_bytes());
        }
        message.extend_from_slice(&(data.len() as u16).to_ne_bytes());
        message.extend_from_slice(&0_u16.to_ne_bytes());
        message.extend_from_slice(&data);
        self.socket.send(&netlink::request(DONE, 0, &message))
    }

    /// Takes one datagram. `buffer` of [`netlink::DATAGRAM_BYTES`] or less takes all of them: they
    /// are below 128 bytes.
    ///
    /// # Errors
    /// None that a live socket can give.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Received> {
        self.socket.receive(buffer)
    }

    /// What a datagram that [`ProcConnector::receive`] took says. Other events, and bytes that make
    /// no sense, are passed over.
    pub fn decode(datagram: &[u8]) -> impl Iterator<Item = ProcMessage> + '_ {
        parts(datagram).filter_map(|part| match part.what {
            FORK => {
                let (parent, child) = (part.word(1)?, part.word(3)?);
                // A new thread has an id of its own in the group of its process.
                (part.word(2)? == child).then_some(ProcMessage::Forked { parent, child })
            }
            EXEC => Some(ProcMessage::Executed { pid: part.word(1)? }),
            _ => None,
        })
    }
}

impl Drop for ProcConnector {
    fn drop(&mut self) {
        // Before Linux 6.6 the kernel went on making events for a listener that closed in silence.
        let _ = self.send(&[IGNORE], 0);
    }
}

impl AsFd for ProcConnector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A `struct cn_msg` with a `struct proc_event` in it.
struct Part<'a> {
    acknowledged: u32,
    what: u32,
    data: &'a [u8],
}

impl Part<'_> {
    /// Whether it is the answer to a request that carried this number.
    fn answers(&self, question: u32) -> bool {
        self.acknowledged == question.wrapping_add(1)
    }

    /// A word of the event's union.
    fn word(&self, index: usize) -> Option<i32> {
        u32_at(self.data, index * 4).map(u32::cast_signed)
    }
}

fn parts(datagram: &[u8]) -> impl Iterator<Item = Part<'_>> {
    netlink::messages(datagram).filter_map(|message| {
        let bytes = message.payload;
        let address = (u32_at(bytes, 0)?, u32_at(bytes, 4)?);
        let length = usize::from(u16_at(bytes, 16)?);
        let event = bytes.get(CN_MSG_BYTES..CN_MSG_BYTES + length)?;
        (address == ADDRESS).then_some(Part {
            acknowledged: u32_at(bytes, 12)?,
            what: u32_at(event, 0)?,
            data: event.get(EVENT_HEAD_BYTES..)?,
        })
    })
}
