//! Servers of straight system calls: level-triggered epoll, and poll(2).

use crate::server::{Content, Ends, Serves, Site};
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    io::Errno,
    net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send},
};
use std::os::fd::{AsRawFd, OwnedFd};
use ukevent_measure::Result;
use ukevent_sys::poll::{PollFd, PollMask, poll};

/// More than a request has.
const RECEIVE_BYTES: usize = 2048;
/// Events taken by one wait.
const EVENTS: usize = 1024;

/// epoll, level-triggered.
#[derive(Debug)]
pub struct BareEpollServer;

impl Serves for BareEpollServer {
    fn serve(site: &Site, listener: OwnedFd) -> Result<()> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let add = |fd: &OwnedFd| {
            let token = EventData::new_u64(fd.as_raw_fd() as u64);
            epoll::add(&epoll, fd, token, EventFlags::IN)
        };
        add(&listener)?;
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        // By the numbers of their descriptors.
        let mut peers: Vec<Option<Peer>> = Vec::new();
        while !site.is_over() {
            events.clear();
            epoll::wait(&epoll, spare_capacity(&mut events), None)?;
            for event in &events {
                let number = event.data.u64() as usize;
                if number == listener.as_raw_fd() as usize {
                    while let Some(socket) = accept(&listener)? {
                        add(&socket)?;
                        let number = socket.as_raw_fd() as usize;
                        if peers.len() <= number {
                            peers.resize_with(number + 1, || None);
                        }
                        peers[number] = Some(Peer::new(socket));
                    }
                } else if let Some(peer) = &mut peers[number]
                    && !peer.turn(site)
                {
                    // epoll forgets what is closed.
                    peers[number] = None;
                }
            }
        }
        Ok(())
    }
}

/// poll(2).
#[derive(Debug)]
pub struct BarePollServer;

impl Serves for BarePollServer {
    fn serve(site: &Site, listener: OwnedFd) -> Result<()> {
        // The listener is the first, and the n-th peer the one behind.
        let mut list = vec![PollFd::new(listener.as_raw_fd(), PollMask::IN)];
        let mut peers: Vec<Peer> = Vec::new();
        while !site.is_over() {
            let mut ready = poll(&mut list, None, None)?;
            // From behind: what takes the place of one that has gone was looked at.
            for place in (0..peers.len()).rev() {
                let (is_told, is_left) = (!list[place + 1].reported().is_empty(), ready > 0);
                if !is_left {
                    break;
                }
                if is_told {
                    ready -= 1;
                    if !peers[place].turn(site) {
                        peers.swap_remove(place);
                        list.swap_remove(place + 1);
                    }
                }
            }
            if !list[0].reported().is_empty() {
                while let Some(socket) = accept(&listener)? {
                    list.push(PollFd::new(socket.as_raw_fd(), PollMask::IN));
                    peers.push(Peer::new(socket));
                }
            }
        }
        Ok(())
    }
}

/// The next connection; nothing, if nobody waits.
pub(super) fn accept(listener: &OwnedFd) -> Result<Option<OwnedFd>> {
    loop {
        match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => return Ok(Some(socket)),
            Err(Errno::AGAIN) => return Ok(None),
            // It has gone while it waited.
            Err(Errno::CONNABORTED | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A connection.
#[derive(Debug)]
struct Peer {
    socket: OwnedFd,
    ends: Ends,
}

impl Peer {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, ends: Ends::default() }
    }

    /// Takes what came, and answers. Not, if the connection is over.
    fn turn(&mut self, site: &Site) -> bool {
        let mut bytes = [0; RECEIVE_BYTES];
        let received = match recv(&self.socket, &mut bytes[..], RecvFlags::empty()) {
            Ok((_, 0)) => return false,
            Ok((_, received)) => received,
            Err(Errno::AGAIN | Errno::INTR) => return true,
            Err(_) => return false,
        };
        for _ in 0..self.ends.count(&bytes[..received]) {
            // A socket has room for more replies than a client of one at a time asks for. Whoever does not
            // read is sent away, and its load counts that.
            if !self.answer(site).unwrap_or(false) || site.closes() {
                return false;
            }
        }
        true
    }

    /// Whether all of a reply left.
    fn answer(&self, site: &Site) -> rustix::io::Result<bool> {
        let reply = site.reply();
        let content_bytes = reply.content_bytes();
        match reply.content() {
            Content::Memory => {
                let sent = send(&self.socket, reply.whole(), SendFlags::NOSIGNAL)?;
                Ok(sent == reply.whole().len())
            }
            Content::Read => {
                let mut page = vec![0; reply.whole().len()];
                let (head, content) = page.split_at_mut(reply.head().len());
                head.copy_from_slice(reply.head());
                let read = rustix::io::pread(site.file(), content, 0)?;
                let sent = send(&self.socket, &page, SendFlags::NOSIGNAL)?;
                Ok(read == content_bytes && sent == page.len())
            }
            Content::SendFile => {
                let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
                let sent = send(&self.socket, reply.head(), flags)?;
                let mut at = 0;
                let file_sent =
                    rustix::fs::sendfile(&self.socket, site.file(), Some(&mut at), content_bytes)?;
                Ok(sent == reply.head().len() && file_sent == content_bytes)
            }
        }
    }
}
