//! On which core a thread runs (sched_setaffinity(2)).

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;

/// The cores that this process may use: one for a contender, another for its load.
///
/// ```
/// use ukevent_measure::cores::{Cores, pin, spread};
///
/// let cores = Cores::find()?;
/// pin(cores.first())?;
/// spread(&cores)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cores(Vec<usize>);

impl Cores {
    /// Asks the kernel. To be done before the first pinning: what was pinned may use one.
    ///
    /// # Errors
    /// The kernel's.
    pub fn find() -> io::Result<Self> {
        let set = sched_getaffinity(None)?;
        Ok(Self((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()))
    }

    /// Where the contender runs. (Whoever runs has one.)
    #[must_use]
    pub fn first(&self) -> usize {
        self.0.first().copied().unwrap_or(0)
    }

    /// Where the load, or the other thread, runs; `None` on a machine with one core.
    #[must_use]
    pub fn second(&self) -> Option<usize> {
        self.0.get(1).copied()
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.0.len()
    }
}

/// Lets this thread, and those it makes from now on, run on all of these cores.
///
/// # Errors
/// The kernel's, if none of them may be used any more.
pub fn spread(cores: &Cores) -> io::Result<()> {
    let mut set = CpuSet::new();
    cores.0.iter().for_each(|&core| set.set(core));
    Ok(sched_setaffinity(None, &set)?)
}

/// Keeps this thread, and the threads and children that it makes from now on, on one core.
///
/// # Errors
/// The kernel's, if there is no such core or it may not be used.
pub fn pin(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("there is no core {core}"),
        ));
    }
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}
