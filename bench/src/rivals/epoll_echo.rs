//! Bare epoll's echo: edges, one read and one write for each.
//!
//! A read that does not fill its buffer has emptied the socket (epoll(7)), so that it is the only one.

use crate::tables::echo::{Echo, Endpoint, READ_BYTES};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketFlags, accept_with, send};
use std::os::fd::OwnedFd;
use ukevent_measure::Result;

/// The token of the listener; connections have their place.
const LISTENER: u64 = u64::MAX;

pub(crate) struct EpollEcho;

impl Echo for EpollEcho {
    fn serve(endpoint: &Endpoint, connections: usize) -> Result<()> {
        let listener = OwnedFd::from(endpoint.listen()?);
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let mut streams: Vec<Option<OwnedFd>> = Vec::with_capacity(connections);
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        let mut bytes = [0; READ_BYTES];
        let mut ended = 0;
        while ended < connections {
            events.clear();
            epoll::wait(&epoll, spare_capacity(&mut events), None)?;
            for event in &events {
                match event.data.u64() {
                    LISTENER => accept(&listener, &epoll, &mut streams)?,
                    place => {
                        let stream = &mut streams[place as usize];
                        if stream.as_ref().is_some_and(|it| !echo(it, &mut bytes).unwrap_or(false))
                        {
                            *stream = None;
                            ended += 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn accept(listener: &OwnedFd, epoll: &OwnedFd, streams: &mut Vec<Option<OwnedFd>>) -> Result<()> {
    loop {
        match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(stream) => {
                let token = EventData::new_u64(streams.len() as u64);
                epoll::add(epoll, &stream, token, EventFlags::IN | EventFlags::ET)?;
                streams.push(Some(stream));
            }
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends back what is there; false if that is the end.
fn echo(stream: &OwnedFd, bytes: &mut [u8]) -> Result<bool> {
    loop {
        let count = match rustix::io::read(stream, &mut *bytes) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(Errno::AGAIN) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        // A socket takes this much: the peer awaits it before it sends more.
        if send(stream, &bytes[..count], SendFlags::NOSIGNAL)? != count {
            return Err("a message was cut short".into());
        }
        if count < bytes.len() {
            return Ok(true);
        }
    }
}
