//! From a spec to registrations, and what to do when the kernel will not have one.

use crate::advice;
use crate::failure::Failure;
use crate::tell::tell;
use crate::watch::names;
use crate::watch::role::Role;
use crate::watch::spec::{Groups, Spec, Timing};
use crate::watch::text::escaped;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use ukevent::{
    Changes, Clock, Fd, Inode, Key, Kind, Mode, Netlink, Process, ProcessEvent, Queue, Readiness,
    RegisterError, Signal, Socket, Source as Any, Timer,
};

/// A spec that is being watched.
#[derive(Debug)]
pub(crate) struct Source {
    /// As it was given.
    pub(crate) text: OsString,
    pub(crate) spec: Spec,
    /// What the kernel calls it: a process's name, a descriptor's file.
    pub(crate) name: OsString,
    /// How many events it had.
    pub(crate) events: u64,
    keys: Vec<Key>,
}

/// What must be had before the queue has descriptors of its own, for it is named by number.
pub(crate) fn open(text: &OsStr, spec: &Spec) -> Result<Option<OwnedFd>, Failure> {
    let Spec::Fd(number) = *spec else { return Ok(None) };
    match ukevent_sys::descriptor::duplicate(number) {
        Ok(fd) => Ok(Some(fd)),
        Err(error) => {
            let advice = "; no such descriptor is open: the shell opens one with 7<FILE";
            Err(failed(text, error, advice))
        }
    }
}

impl Source {
    /// Registers what a spec names; `index` is its place in the list.
    pub(crate) fn register(
        queue: &mut Queue,
        index: u32,
        text: OsString,
        spec: Spec,
        fd: Option<OwnedFd>,
    ) -> Result<Self, Failure> {
        let mut keys = Vec::new();
        let mut add = |source: Any, mode| -> Result<(), RegisterError> {
            keys.push(queue.register(source, Role::Source(index).token(), mode)?);
            Ok(())
        };
        let mut name = OsString::new();
        let added = match &spec {
            Spec::Timer(Timing::Every(period)) => add(Timer::every(*period).into(), Mode::Level),
            Spec::Timer(Timing::After(time)) => add(Timer::after(*time).into(), Mode::OneShot),
            Spec::Timer(Timing::At(time)) => {
                add(Timer::at(Clock::Wall, *time).into(), Mode::OneShot)
            }
            Spec::Inode { path, changes } => {
                name.clone_from(&path.into());
                add(Inode::path(path).on(*changes).into(), Mode::Level)
            }
            Spec::Tree { path, changes } => {
                name.clone_from(&path.into());
                add(Inode::tree(path).on(*changes).into(), Mode::Level)
            }
            Spec::Signal(signals) => {
                signals.iter().try_for_each(|signal| add((*signal).into(), Mode::Level))
            }
            Spec::Process { pid, changes } => {
                name = names::process(*pid).unwrap_or_default();
                add(Process::pid(*pid).on(*changes).into(), Mode::Level)
            }
            Spec::Network(groups) => add(network(*groups).into(), Mode::Level),
            Spec::Devices => add(Netlink::new().uevents().into(), Mode::Level),
            Spec::Fd(number) => {
                name = names::descriptor(*number).unwrap_or_default();
                // Nobody here reads it: with level mode one event would follow another.
                fd.ok_or(RegisterError::Invalid("a descriptor is opened before it is registered"))
                    .and_then(|fd| add(Fd::new(fd).measured().into(), Mode::Edge))
            }
            Spec::Listen(address) => {
                let listener = listen(*address)
                    .map_err(|error| failed(&text, &error, advice::on_listening(error.kind())))?;
                if let Ok(local) =
                    listener.local_addr().inspect(|local| name = local.to_string().into())
                    && address.port() == 0
                {
                    tell(format_args!("watch: {} is {local}", escaped(&text)));
                }
                add(Socket::listener(listener).into(), Mode::Level)
            }
        };
        added.map_err(|error| failed(&text, &error, advice_on(&spec, &error)))?;
        Ok(Self { text, spec, name, events: 0, keys })
    }

    /// Whether nothing comes of this registration after such an event.
    pub(crate) fn is_last(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Timer(_) => !matches!(self.spec, Spec::Timer(Timing::Every(_))),
            Kind::Process(change) => matches!(
                change.what,
                ProcessEvent::Exited(_) | ProcessEvent::Killed { .. } | ProcessEvent::Gone
            ),
            Kind::Inode(change) => {
                change.name.as_os_str().is_empty()
                    && change.changes.intersects(Changes::SELF_REMOVED | Changes::UNMOUNTED)
            }
            Kind::Ready(ready) => {
                matches!(self.spec, Spec::Fd(_))
                    && ready.readiness.intersects(Readiness::HANG_UP | Readiness::ERROR)
            }
            // Of a tree it is one directory that cannot be watched.
            Kind::Failed(_) => !matches!(self.spec, Spec::Tree { .. }),
            _ => false,
        }
    }

    /// Whether it is told of this signal.
    pub(crate) fn watches(&self, signal: Signal) -> bool {
        matches!(&self.spec, Spec::Signal(signals) if signals.contains(&signal))
    }

    pub(crate) const fn is_listener(&self) -> bool {
        matches!(self.spec, Spec::Listen(_))
    }

    /// Ends one of its registrations.
    pub(crate) fn end(&mut self, queue: &mut Queue, key: Key) {
        self.keys.retain(|own| *own != key);
        // A one-shot registration is gone already.
        let _ = queue.remove(key);
    }

    /// Ends all of them.
    pub(crate) fn end_all(&mut self, queue: &mut Queue) {
        for key in self.keys.drain(..) {
            let _ = queue.remove(key);
        }
    }

    /// Whether something can still come.
    pub(crate) fn is_live(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Its registrations.
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Takes a connection; `None` if it went before it could be taken.
    pub(crate) fn accept(queue: &Queue, key: Key) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        let Some(listener) = queue.owner_of::<TcpListener>(key) else { return Ok(None) };
        match listener.accept() {
            Ok(accepted) => Ok(Some(accepted)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }
}

fn network(groups: Groups) -> Netlink {
    let mut netlink = Netlink::new();
    if groups.contains(Groups::LINK) {
        netlink = netlink.links();
    }
    if groups.contains(Groups::ADDRESS) {
        netlink = netlink.addresses();
    }
    if groups.contains(Groups::ROUTE) {
        netlink = netlink.routes();
    }
    netlink
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn failed(text: &OsStr, error: impl Display, advice: &str) -> Failure {
    Failure::Failed(format!("watch: {}: {error}{advice}", escaped(text)))
}

/// What to do about it, where the error does not say so itself.
fn advice_on(spec: &Spec, error: &RegisterError) -> &'static str {
    let errno = match error {
        RegisterError::Kernel(error) => Errno::from_raw_os_error(error.errno()),
        _ => return "",
    };
    match (spec, errno) {
        (Spec::Inode { .. } | Spec::Tree { .. }, Errno::NOENT) => {
            "; watch the directory that it will appear in"
        }
        (Spec::Inode { .. } | Spec::Tree { .. }, Errno::ACCESS) => {
            "; reading it must be permitted, and searching the directories above it"
        }
        (Spec::Tree { .. }, Errno::NOTDIR) => "; it is a file: use inode",
        (Spec::Process { .. }, Errno::SRCH) => "; there is no such process (pgrep NAME finds one)",
        (Spec::Process { .. }, Errno::INVAL) => "; it is a thread, not a process",
        _ => "",
    }
}
