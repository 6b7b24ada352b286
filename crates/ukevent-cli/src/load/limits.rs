//! What one process may have: descriptors, of which each connection takes one, and processors.

use crate::args::{Cores, LoadArgs, MOST_PROCESSES};
use crate::failure::Failure;
use crate::tell::tell;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use ukevent_load::{Pace, Plan};

/// Descriptors that are no connections: standard streams, the queue, a resolver, and connections that are being closed
/// while others are made in their place.
const OTHERS: u64 = 64;
/// Those that a process takes that was started: two pipes, and one that tells its end.
const EACH_PROCESS: u64 = 3;

/// As many descriptors as this process may have.
pub(crate) fn raise_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it may not, it has those that it has.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// In how many processes the load is made: as many as were asked for, or as its connections need.
pub(super) fn processes(args: &LoadArgs, plan: &Plan) -> Result<u32, Failure> {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = match plan.pace {
        Pace::Closed { connections, .. } | Pace::Open { connections, .. } => connections,
        _ => 0,
    };
    let counts = [connections, plan.dead, plan.slow];
    let chosen = choose(counts, args.processes, limit).map_err(Failure::Usage)?;
    if chosen > 1 && args.processes.is_none() {
        let all: u64 = counts.into_iter().map(u64::from).sum();
        tell(format_args!(
            "load: {all} connections in {chosen} processes, because one may have {limit} descriptors"
        ));
    }
    Ok(chosen)
}

/// So many that none has more connections than it may have, or why there are none.
fn choose(counts: [u32; 3], asked: Option<u32>, limit: u64) -> Result<u32, String> {
    let all: u64 = counts.into_iter().map(u64::from).sum();
    let room = limit.saturating_sub(OTHERS).max(1);
    // Whoever has most of each kind: shares are rounded up.
    let fits = |processes: u32| {
        counts.into_iter().map(|count| u64::from(count.div_ceil(processes))).sum::<u64>() <= room
    };
    let can_start =
        |processes: u32| processes == 1 || u64::from(processes) * EACH_PROCESS + OTHERS <= limit;
    let enough = (1..=MOST_PROCESSES).find(|&processes| fits(processes));
    let enough = enough.filter(|&processes| can_start(processes));
    let raise = "raise the limit of descriptors (ulimit -n)";
    match (asked, enough) {
        (None, Some(enough)) => Ok(enough),
        (Some(asked), _) if !can_start(asked) => Err(format!(
            "load: to start {asked} processes takes {} descriptors, and one may have {limit}: {raise}",
            u64::from(asked) * EACH_PROCESS + OTHERS
        )),
        (Some(asked), _) if fits(asked) => Ok(asked),
        (Some(asked), Some(enough)) => Err(format!(
            "load: {all} connections are too many for {asked} of --processes, each of which may have {room}: use \
             --processes {enough}, or {raise}"
        )),
        (_, None) => Err(format!(
            "load: {all} connections are too many for all processes that can be started, each of which may have \
             {room}: {raise}"
        )),
    }
}

/// Whether this process may run on all of these.
pub(super) fn check_cores(cores: &Cores) -> Result<(), Failure> {
    let own = sched_getaffinity(None).map_err(|error| pin_failed(error.into()))?;
    let refused = cores.0.iter().find(|&&core| pin(core).is_err());
    // It was so before.
    sched_setaffinity(None, &own).map_err(|error| pin_failed(error.into()))?;
    let Some(core) = refused else { return Ok(()) };
    let there: Vec<String> =
        (0..CpuSet::MAX_CPU).filter(|&it| own.is_set(it)).map(|it| it.to_string()).collect();
    Err(Failure::Usage(format!(
        "load: --pin: there is no processor {core} that this process may use; it may use {}",
        there.join(",")
    )))
}

/// Lets a process run on that one of these whose turn it is.
pub(super) fn pin_in_turn(cores: &Cores, number: u32) -> Result<(), Failure> {
    let turn = number as usize % cores.0.len().max(1);
    cores.0.get(turn).map_or(Ok(()), |&core| pin(core)).map_err(pin_failed)
}

fn pin(core: usize) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

fn pin_failed(error: std::io::Error) -> Failure {
    Failure::Failed(format!("load: --pin: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_are_needed() {
        for (counts, limit, processes) in [
            ([64, 0, 0], 1024, 1),
            ([960, 0, 0], 1024, 1),
            ([961, 0, 0], 1024, 2),
            ([1000, 0, 0], 256, 6),
            ([1, 100_000, 0], 20_064, 6),
            ([64, 100_000, 10], 20_064, 6),
            ([1, 0, 0], 3, 1),
        ] {
            assert_eq!(choose(counts, None, limit), Ok(processes), "{counts:?} of {limit}");
            assert_eq!(choose(counts, Some(processes), limit), Ok(processes));
        }
    }

    #[test]
    fn what_would_do_is_told() {
        let told = choose([1000, 0, 0], Some(2), 256).unwrap_err();
        assert!(told.contains("use --processes 6, or raise"), "{told}");
        let told = choose([60_000, 0, 0], None, 256).unwrap_err();
        assert!(told.contains("too many for all processes that can be started"), "{told}");
        let told = choose([10, 0, 0], Some(1000), 1024).unwrap_err();
        assert!(told.contains("takes 3064 descriptors"), "{told}");
    }
}
