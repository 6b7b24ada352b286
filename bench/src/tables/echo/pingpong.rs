//! `pingpong`: one connection, and one message of 64 bytes to and fro.
//!
//! The servers are those of `echo`. Between two messages the server sleeps, so that a round trip has in it how long
//! the server takes to wake up; the load on the other core does not sleep, but looks for the answer again and
//! again, so that it has nothing of the load's own waking. Every message is made up anew and compared when it comes back.
//! System calls are not counted here: that would be a part of each.

use super::{Echo, Endpoint, Family, MESSAGE_BYTES, Setup, with_server};
use crate::rivals::{
    epoll_echo::EpollEcho, ring_echo::RingEcho, tokio_echo::Tokio, ukevent_echo::UkeventEcho,
    ukevent_task_echo::UkeventTaskEcho,
};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use ukevent_bench::contenders::ukevent::{Epoll, IoUring};
use ukevent_measure::clock::{now_ns, process_cpu_ns, thread_cpu_ns};
use ukevent_measure::cores::Cores;
use ukevent_measure::results::Outcome;
use ukevent_measure::{Contender, Plan, Random, Result, Sample, alternate};

/// After so long an answer is lost.
const LOST_NS: u64 = 5_000_000_000;

/// Runs the table.
pub(crate) fn run(plan: &Plan, cores: &Cores, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let Some(load_core) = cores.second() else {
        eprintln!("SKIPPED: pingpong takes two cores, one for the server and one for the load");
        return Ok(());
    };
    let contenders = [
        Contender { name: "ukevent io_uring", round: round::<UkeventEcho<IoUring>> },
        Contender { name: "ukevent-task", round: round::<UkeventTaskEcho> },
        Contender { name: "bare ring", round: round::<RingEcho> },
        Contender { name: "ukevent epoll", round: round::<UkeventEcho<Epoll>> },
        Contender { name: "bare epoll", round: round::<EpollEcho> },
        Contender { name: "tokio", round: round::<Tokio> },
    ];
    for family in [Family::Tcp, Family::Unix] {
        let setup = Setup {
            family,
            connections: 1,
            echoes: plan.size(20_000, 200),
            server_core: cores.first(),
            load_core,
            folder: tempfile::tempdir()?,
        };
        alternate(plan, "pingpong", &contenders, &setup, outcomes);
    }
    Ok(())
}

fn round<E: Echo>(setup: &Setup) -> Result<Vec<Sample>> {
    let (mut trips_ns, cpu_ns) =
        with_server::<E, _, _>(setup, || (), |endpoint, ()| measure(setup, endpoint))?;
    trips_ns.sort_unstable();
    let cpu_each_ns = cpu_ns as f64 / trips_ns.len() as f64;
    let sample = |measure: &str, unit, value| {
        Sample::figure(unit, value)
            .counted(setup.echoes, trips_ns.len() as u64)
            .with("socket", setup.family.name())
            .with("measure", measure)
    };
    let percentile = |name: &str, percent: usize| {
        let place = (trips_ns.len() * percent).div_ceil(100).max(1) - 1;
        sample("round trip", "µs", trips_ns[place] as f64 / 1_000.0).with("percentile", name)
    };
    Ok(vec![
        percentile("p50", 50),
        percentile("p99", 99),
        sample("cpu", "ns CPU/exchange", cpu_each_ns),
    ])
}

/// How long each round trip took, and the CPU time of the server.
fn measure(setup: &Setup, endpoint: &Endpoint) -> Result<(Vec<u64>, u64)> {
    let socket = endpoint.connect(Instant::now() + Duration::from_secs(5))?;
    let mut caller = Caller { socket, random: Random::new(8) };
    for _ in 0..setup.echoes / 10 + 1 {
        caller.round_trip()?;
    }
    let mut trips_ns = Vec::with_capacity(setup.echoes as usize);
    let others_ns = || process_cpu_ns() - thread_cpu_ns();
    let from_cpu_ns = others_ns();
    for _ in 0..setup.echoes {
        trips_ns.push(caller.round_trip()?);
    }
    let cpu_ns = others_ns() - from_cpu_ns;
    caller.end()?;
    Ok((trips_ns, cpu_ns))
}

/// One end of the connection.
struct Caller {
    socket: OwnedFd,
    random: Random,
}

impl Caller {
    /// Sends a message and takes it back; how long that took.
    fn round_trip(&mut self) -> Result<u64> {
        let (mut message, mut answer) = ([0; MESSAGE_BYTES], [0; MESSAGE_BYTES]);
        for part in message.chunks_exact_mut(8) {
            part.copy_from_slice(&self.random.next().to_ne_bytes());
        }
        let from_ns = now_ns();
        if send(&self.socket, &message, SendFlags::NOSIGNAL)? != MESSAGE_BYTES {
            return Err("a message was cut short".into());
        }
        let mut came = 0;
        while came < MESSAGE_BYTES {
            match recv(&self.socket, &mut answer[came..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(format!("of a message {came} bytes came back").into()),
                Ok((count, _)) => came += count,
                Err(Errno::AGAIN) if now_ns() < from_ns + LOST_NS => std::hint::spin_loop(),
                Err(Errno::AGAIN) => return Err("a message did not come back".into()),
                Err(error) => return Err(error.into()),
            }
        }
        let trip_ns = now_ns() - from_ns;
        if message == answer { Ok(trip_ns) } else { Err("a message came back changed".into()) }
    }

    /// Sees that nothing came that was not awaited. The connection ends.
    fn end(self) -> Result<()> {
        match recv(&self.socket, &mut [0; 1], RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => Ok(()),
            Ok(_) => Err("more came back than was sent".into()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, MESSAGE_BYTES};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use ukevent_measure::Random;

    /// What two round trips to a peer come to that sends back this.
    fn called(answer: fn([u8; MESSAGE_BYTES]) -> Vec<u8>) -> Result<(), String> {
        let (socket, mut peer) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || {
            let mut message = [0; MESSAGE_BYTES];
            for _ in 0..2 {
                if peer.read_exact(&mut message).is_err() {
                    return;
                }
                // A caller that has seen a fault is gone.
                let _ = peer.write_all(&answer(message));
            }
            // The caller looks for more before this ends.
            let _ = peer.read(&mut message);
        });
        let mut caller = Caller { socket: socket.into(), random: Random::new(1) };
        let outcome = caller.round_trip().and_then(|_| caller.round_trip());
        let outcome = outcome.and_then(|_| caller.end()).map_err(|error| error.to_string());
        server.join().unwrap();
        outcome
    }

    #[test]
    fn what_comes_back_as_it_was_is_timed() {
        assert_eq!(called(|message| message.to_vec()), Ok(()));
    }

    #[test]
    fn a_changed_bit_and_a_double_are_seen() {
        let flipped = |mut message: [u8; MESSAGE_BYTES]| {
            message[MESSAGE_BYTES - 1] ^= 1;
            message.to_vec()
        };
        assert_eq!(called(flipped).unwrap_err(), "a message came back changed");
        let doubled = called(|message| [message, message].concat()).unwrap_err();
        assert_eq!(doubled, "a message came back changed", "the second is not that of the second");
    }

    #[test]
    fn an_end_is_seen() {
        let (socket, mut peer) = UnixStream::pair().unwrap();
        peer.write_all(&[0; 10]).unwrap();
        let reader = std::thread::spawn(move || {
            let _ = peer.read_exact(&mut [0; MESSAGE_BYTES]);
        });
        let mut caller = Caller { socket: socket.into(), random: Random::new(1) };
        let error = caller.round_trip().unwrap_err().to_string();
        assert_eq!(error, "of a message 10 bytes came back");
        reader.join().unwrap();
    }

    #[test]
    fn more_than_was_sent_is_seen() {
        let (socket, mut peer) = UnixStream::pair().unwrap();
        peer.write_all(&[0]).unwrap();
        let caller = Caller { socket: socket.into(), random: Random::new(1) };
        assert_eq!(caller.end().unwrap_err().to_string(), "more came back than was sent");
    }
}
