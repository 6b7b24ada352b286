//! Which backend, and why: chosen at run time by what the kernel allows.

use super::{Backend, epoll::EpollBackend, poll::PollBackend, sim::Sim, uring::Uring};
use crate::error::BuildError;
use std::fmt;
use std::str::FromStr;
use ukevent_sys::ring::RingOptions;

/// A backend by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// io_uring, Linux 6.1.
    IoUring,
    /// epoll, Linux 2.6.27.
    Epoll,
    /// poll(2): the old baseline, linear in what is registered.
    Poll,
    /// A simulation with a virtual clock, for tests.
    Sim,
}

impl BackendKind {
    /// The backends that have a kernel.
    pub const REAL: [Self; 3] = [Self::IoUring, Self::Epoll, Self::Poll];

    /// Its name, as `UKEVENT_BACKEND` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
            Self::Poll => "poll",
            Self::Sim => "sim",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BackendKind {
    type Err = BuildError;

    fn from_str(name: &str) -> Result<Self, BuildError> {
        match name {
            "io_uring" | "uring" => Ok(Self::IoUring),
            "epoll" => Ok(Self::Epoll),
            "poll" => Ok(Self::Poll),
            "sim" => Ok(Self::Sim),
            _ => Err(BuildError::UnknownBackend { name: name.into(), from_environment: false }),
        }
    }
}

/// What was chosen, in words for people.
pub(crate) struct Chosen {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) kind: BackendKind,
    pub(crate) reason: String,
}

/// Makes the backend that was asked for, or the best that can be had.
pub(crate) fn choose(
    asked: Option<(BackendKind, &'static str)>,
    sim: Option<Sim>,
    options: RingOptions,
) -> Result<Chosen, BuildError> {
    if let Some(sim) = sim {
        let reason = "the program handed in a simulation".to_owned();
        return Ok(Chosen { backend: sim.backend(), kind: BackendKind::Sim, reason });
    }
    if let Some((kind, by)) = asked {
        let backend = make(kind, options)?;
        return Ok(Chosen { backend, kind, reason: format!("{by} asked for it") });
    }
    match Uring::new(options) {
        Ok(uring) => Ok(Chosen {
            backend: Box::new(uring),
            kind: BackendKind::IoUring,
            reason: "the kernel allows it".to_owned(),
        }),
        Err(error) => Ok(Chosen {
            backend: Box::new(EpollBackend::new()?),
            kind: BackendKind::Epoll,
            reason: format!("io_uring cannot be had: {}", why_no_ring(error)),
        }),
    }
}

fn make(kind: BackendKind, options: RingOptions) -> Result<Box<dyn Backend>, BuildError> {
    Ok(match kind {
        BackendKind::IoUring => match Uring::new(options) {
            Ok(uring) => Box::new(uring),
            Err(error) => {
                return Err(BuildError::Unavailable {
                    backend: "io_uring",
                    why: why_no_ring(error),
                });
            }
        },
        BackendKind::Epoll => Box::new(EpollBackend::new()?),
        BackendKind::Poll => Box::new(PollBackend::new()?),
        BackendKind::Sim => Sim::new(0).backend(),
    })
}

/// The usual reasons, with what would change them.
fn why_no_ring(error: ukevent_sys::Error) -> String {
    let hint = match error.errno() {
        1 => "; a container's seccomp filter or kernel.io_uring_disabled denies it",
        12 => "; the limit of locked memory (ulimit -l) is too low",
        22 => "; it needs Linux 6.1 or newer",
        38 => "; this kernel is built without it, or a seccomp filter says so",
        _ => "",
    };
    format!("{error}{hint}")
}
