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
    let each = |processes: u32| -> u64 {
        counts.into_iter().map(|count| u64::from(count.div_ceil(processes))).sum()
    };
    let fits = |processes: u32| each(processes) <= room;
    let can_start =
        |processes: u32| processes == 1 || u64::from(processes) * EACH_PROCESS + OTHERS <= limit;
    let enough = (1..=MOST_PROCESSES).find(|&processes| fits(processes));
    let enough = enough.filter(|&processes| can_start(processes));
    // What each of so many would need: for connections, and the one that starts them for those.
    let needed = |processes: u32| {
        let to_start = if processes == 1 { 0 } else { u64::from(processes) * EACH_PROCESS };
        each(processes).max(to_start) + OTHERS
    };
    let has = format!("and one may have {limit}");
    // Up to what it may without it has been raised.
    let raise = |needed| format!("raise the hard limit (ulimit -n {needed}, as root)");
    match (asked, enough) {
        (None, Some(enough)) => Ok(enough),
        (Some(asked), _) if !can_start(asked) => {
            let to_start = u64::from(asked) * EACH_PROCESS + OTHERS;
            let raise = raise(needed(asked));
            Err(format!(
                "load: to start {asked} processes takes {to_start} descriptors, {has}: {raise}"
            ))
        }
        (Some(asked), _) if fits(asked) => Ok(asked),
        (Some(asked), enough) => {
            let fewer = enough.map_or(String::new(), |it| format!("use --processes {it}, or "));
            let needed = needed(asked);
            let raise = raise(needed);
            Err(format!(
                "load: {all} connections by --processes {asked} take {needed} descriptors for each, {has}: \
                 {fewer}{raise}"
            ))
        }
        (None, None) => {
            let alone = needed(1);
            // Of those that need as few the fewest.
            let many = (2..=MOST_PROCESSES).min_by_key(|&it| needed(it)).unwrap_or(1);
            let or = match needed(many) {
                least if least < alone => format!(" (or {least} for each of {many} processes)"),
                _ => String::new(),
            };
            let raise = raise(alone);
            Err(format!("load: {all} connections take {alone} descriptors{or}, {has}: {raise}"))
        }
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
        for (counts, asked, limit, says) in [
            (
                [60, 0, 0],
                None,
                40,
                "load: 60 connections take 124 descriptors (or 79 for each of 4 processes), and one may have 40: \
                 raise the hard limit (ulimit -n 124, as root)",
            ),
            (
                [1, 0, 0],
                Some(2),
                40,
                "to start 2 processes takes 70 descriptors, and one may have 40",
            ),
            (
                [1000, 0, 0],
                Some(2),
                256,
                "load: 1000 connections by --processes 2 take 564 descriptors for each, and one may have 256: use \
                 --processes 6, or raise the hard limit (ulimit -n 564, as root)",
            ),
            (
                [60, 0, 0],
                Some(1),
                40,
                "load: 60 connections by --processes 1 take 124 descriptors for each, and one may have 40: raise \
                 the hard limit (ulimit -n 124, as root)",
            ),
            ([10, 0, 0], Some(1000), 1024, "takes 3064 descriptors, and one may have 1024: raise"),
        ] {
            let told = choose(counts, asked, limit).unwrap_err();
            assert!(told.contains(says), "{told}");
        }
    }

    /// With as many as it says there is a load.
    #[test]
    fn what_is_told_would_do() {
        for (counts, limit) in [([60, 0, 0], 40), ([60_000, 0, 0], 256), ([64, 1_000_000, 3], 256)]
        {
            let told = choose(counts, None, limit).unwrap_err();
            let numbers: Vec<u64> = told
                .split(|it: char| !it.is_ascii_digit())
                .filter_map(|it| it.parse().ok())
                .collect();
            let [_, alone, least, many, has, raised] = numbers[..] else { panic!("{told}") };
            assert_eq!((has, raised), (limit, alone));
            assert_eq!(choose(counts, None, alone), Ok(1), "{told}");
            let many = u32::try_from(many).unwrap();
            assert_eq!(choose(counts, Some(many), least), Ok(many), "{told}");
            assert!(choose(counts, None, least - 1).is_err(), "{told}");
        }
    }
}
