//! mio as a server of fixed replies, as its own example of a server is made: edges, and every socket read until it
//! has nothing more.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use ukevent_bench::server::{Content, Ends, Serves, Site};
use ukevent_measure::Result;

pub(crate) struct MioServer;

const LISTENER: Token = Token(usize::MAX);
/// More than a request has.
const RECEIVE_BYTES: usize = 2048;

struct Peer {
    stream: TcpStream,
    ends: Ends,
}

impl Serves for MioServer {
    fn serve(site: &Site, listener: OwnedFd) -> Result<()> {
        if site.replies().iter().any(|it| it.content() != Content::Memory) || site.closes() {
            return Err("this server only keeps connections, and sends from memory".into());
        }
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(1024);
        let mut listener = TcpListener::from_std(listener.into());
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut peers: Vec<Option<Peer>> = Vec::new();
        let mut free = Vec::new();
        while !site.is_over() {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                if event.token() == LISTENER {
                    while let Some(mut stream) = accept(&listener)? {
                        let place = free.pop().unwrap_or(peers.len());
                        let token = Token(place);
                        poll.registry().register(&mut stream, token, Interest::READABLE)?;
                        let peer = Some(Peer { stream, ends: Ends::default() });
                        if place == peers.len() {
                            peers.push(peer);
                        } else {
                            peers[place] = peer;
                        }
                    }
                    continue;
                }
                let place = event.token().0;
                if let Some(peer) = &mut peers[place]
                    && !peer.turn(site)
                {
                    peers[place] = None;
                    free.push(place);
                }
            }
        }
        Ok(())
    }
}

/// The next connection; nothing, if nobody waits.
fn accept(listener: &TcpListener) -> Result<Option<TcpStream>> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            // It has gone while it waited.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Peer {
    /// Takes what came, and answers. Not, if the connection is over.
    fn turn(&mut self, site: &Site) -> bool {
        let mut bytes = [0; RECEIVE_BYTES];
        loop {
            let received = match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(received) => received,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return true,
                    ErrorKind::Interrupted => continue,
                    _ => return false,
                },
            };
            for _ in 0..self.ends.count(&bytes[..received]) {
                // A socket has room for more replies than a client of one at a time asks for.
                if self.stream.write(site.reply().whole()).ok() != Some(site.reply().whole().len())
                {
                    return false;
                }
            }
        }
    }
}
