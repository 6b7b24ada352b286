//! Forks and executions: who of a queue wants to know of whose, and the one socket that tells all.
//!
//! Invariant: a number is watched only as long as it is that of the process that was registered. When
//! a fork gives it to a process, and after lost events, among which there may have been such a fork,
//! the time at which the process was started is compared.

use super::{NO_PROTOCOL, NOT_PERMITTED, ProcessChanges};
use crate::{
    error::RegisterError,
    event::{Kind, ProcessChange, ProcessEvent},
    source::{Drained, Sink},
};
use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd},
};
use ukevent_sys::{
    Error,
    netlink::Received,
    process::{ProcConnector, ProcMessage, start_ticks},
};

/// More than any datagram of the connector has.
const BUFFER_BYTES: usize = 512;

/// The registrations of one queue that want to know of forks and executions.
#[derive(Debug)]
pub(crate) struct ConnectorHub {
    connector: ProcConnector,
    pub(super) watched: HashMap<i32, Watched>,
    /// The process of each slot.
    pids: HashMap<u32, i32>,
}

/// A process that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) start_ticks: u64,
    /// Slot and what is to be told, in the order of registration.
    registered: Vec<(u32, ProcessChanges)>,
}

impl ConnectorHub {
    /// A hub without registrations. From here on the kernel makes an event of every fork and
    /// execution on the machine.
    pub(crate) fn new() -> Result<Self, RegisterError> {
        const WHAT: &str = "watching the forks and executions of a process";
        let connector = ProcConnector::open().map_err(|error| match error.errno() {
            NOT_PERMITTED => RegisterError::Denied {
                what: WHAT,
                needs: "the initial process, user and network namespaces, a kernel with \
                        CONFIG_PROC_EVENTS, and before Linux 6.6 CAP_NET_ADMIN",
            },
            NO_PROTOCOL => {
                RegisterError::Unsupported { what: WHAT, needs: "a kernel with CONFIG_PROC_EVENTS" }
            }
            _ => error.into(),
        })?;
        Ok(Self { connector, watched: HashMap::new(), pids: HashMap::new() })
    }

    /// Readable while there is something to read.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.connector.as_fd()
    }

    /// Whether there is no registration.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.pids.is_empty()
    }

    /// Adds a registration. Of a process that is gone already nothing will be told.
    pub(crate) fn add(&mut self, slot: u32, pid: i32, changes: ProcessChanges) {
        let Some(start_ticks) = start_ticks(pid) else { return };
        let new = || Watched { start_ticks, registered: Vec::new() };
        let watched = self.watched.entry(pid).or_insert_with(new);
        if watched.start_ticks != start_ticks {
            *watched = new();
        }
        watched.registered.push((slot, changes));
        self.pids.insert(slot, pid);
    }

    /// Ends the registration of a slot, if it has one.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(pid) = self.pids.remove(&slot) else { return };
        // It is gone if the process is.
        let Some(watched) = self.watched.get_mut(&pid) else { return };
        watched.registered.retain(|&(taken, _)| taken != slot);
        if watched.registered.is_empty() {
            self.watched.remove(&pid);
        }
    }

    /// Reads at most `budget` messages, of which most are about other processes.
    pub(crate) fn drain(&mut self, budget: usize, sink: Sink<'_>) -> Result<Drained, Error> {
        let mut buffer = [0; BUFFER_BYTES];
        for _ in 0..budget {
            match self.connector.receive(&mut buffer)? {
                Received::Nothing => return Ok(Drained::Dry),
                Received::Overrun => self.rescan(sink),
                Received::Datagram(len) => {
                    for message in ProcConnector::decode(&buffer[..len]) {
                        self.tell(message, sink);
                    }
                }
            }
        }
        Ok(Drained::Budget)
    }

    pub(super) fn tell(&mut self, message: ProcMessage, sink: Sink<'_>) {
        let (pid, asked, what) = match message {
            ProcMessage::Forked { parent, child } => {
                self.heard_of_birth(child);
                (parent, ProcessChanges::FORK, ProcessEvent::Forked { child })
            }
            ProcMessage::Executed { pid } => (pid, ProcessChanges::EXEC, ProcessEvent::Executed),
        };
        let Some(watched) = self.watched.get(&pid) else { return };
        for &(slot, changes) in &watched.registered {
            if changes.contains(asked) {
                sink(slot, Kind::Process(ProcessChange { pid, what }));
            }
        }
    }

    /// A process was given this number. It may be the one that is watched, which was registered
    /// before this was read; what is gone already keeps its number for the rest of its news.
    fn heard_of_birth(&mut self, pid: i32) {
        let Some(watched) = self.watched.get(&pid) else { return };
        if start_ticks(pid).is_some_and(|start| start != watched.start_ticks) {
            self.watched.remove(&pid);
        }
    }

    /// Events were lost.
    pub(super) fn rescan(&mut self, sink: Sink<'_>) {
        for &(slot, _) in self.watched.values().flat_map(|watched| &watched.registered) {
            sink(slot, Kind::Rescan);
        }
        self.watched.retain(|&pid, watched| start_ticks(pid) == Some(watched.start_ticks));
    }
}
