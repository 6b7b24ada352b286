//! The load on a server, from the calling thread: [`ukevent_load`], and what it has shown.

use super::Running;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use ukevent_load::{
    Class, Load, Pace, Plan, Record,
    verdict::{BUSY_PERCENT, Verdict},
};
use ukevent_measure::{
    Result, Sample,
    clock::{process_cpu_ns, thread_cpu_ns},
};
use ukevent_task::Runtime;

/// From more than this share of late starts on the load was not up to it, in percent.
const LATE_PERCENT: f64 = 20.0;

/// Within what time a connection and a reply are to be there, where nothing else is said.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// What a load came to.
#[derive(Debug)]
pub struct Measured {
    record: Record,
    /// Replies that were a success.
    good: u64,
    /// Of the server.
    cpu_ns: u64,
}

/// Runs a load on this thread. It may end a server, and wait for that: nobody is told that this kept the thread.
///
/// # Errors
/// There is no queue for it; and as the load says.
pub fn run<T>(load: impl Future<Output = Result<T>>) -> Result<T> {
    Runtime::builder().without_stuck().build()?.block_on(load)?
}

/// Asks this server for its page.
///
/// # Errors
/// Its address is no URL, which cannot be.
pub fn plan(server: &Running) -> Result<Plan> {
    let target = format!("http://{}/", server.address()).parse()?;
    Ok(Plan { connect_timeout: PATIENCE, reply_timeout: PATIENCE, ..Plan::new(target) })
}

/// The same by connections of one request each, from several addresses: a port that was used is not free at once.
///
/// # Errors
/// Its address is no URL, which cannot be.
pub fn plan_of_ones(server: &Running) -> Result<Plan> {
    Ok(Plan { keep_alive: false, sources: sources(), ..plan(server)? })
}

/// Addresses to connect from: the fewer free ports an address has, the longer the kernel looks for one.
pub(super) fn sources() -> Vec<IpAddr> {
    (2..=9).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))).collect()
}

/// So many connections that ask again when they were answered.
#[must_use]
pub const fn closed(connections: u32) -> Pace {
    Pace::Closed { connections, pipeline: 1, think: Duration::ZERO }
}

/// Makes the load. Nothing else of the process may be at work meanwhile but the server.
///
/// # Errors
/// It could not begin, or replies were not what they should have been.
pub async fn measure(server: &Running, plan: Plan) -> Result<Measured> {
    let load = Load::prepare(plan).await?;
    let before = (process_cpu_ns(), thread_cpu_ns());
    let record = load.run(|_| ()).await;
    let after = (process_cpu_ns(), thread_cpu_ns());
    let expected = record.replies * server.site().reply().content_bytes() as u64;
    if record.errors.total() == 0 && record.body_bytes != expected {
        let came = record.body_bytes;
        return Err(format!("replies had {came} bytes of content, and not {expected}").into());
    }
    let good = record.statuses.get(&200).copied().unwrap_or(0);
    let cpu_ns = (after.0 - before.0).saturating_sub(after.1 - before.1);
    Ok(Measured { record, good, cpu_ns })
}

impl Measured {
    /// The rate, what the server used for each reply, and whether each request had one.
    #[must_use]
    pub fn sample(&self) -> Sample {
        Sample::figure("replies/s", self.record.replies_per_s())
            .cpu(self.cpu_ns as f64 / self.record.replies.max(1) as f64)
            .counted(self.requests(), self.good)
    }

    /// Requests, with those that found no connection.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.record.replies + self.record.errors.total()
    }

    /// Whether each request had its reply.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.good == self.requests() && self.good > 0
    }

    /// What went wrong, as people read it.
    #[must_use]
    pub fn errors(&self) -> String {
        let counted = Class::ALL.into_iter().map(|class| (class, self.record.errors.of(class)));
        let named = counted.filter(|it| it.1 > 0).map(|(class, count)| format!("{count} {class}"));
        let status = |(status, count): (&u16, &u64)| format!("{count} with status {status}");
        let others: BTreeMap<u16, u64> = self
            .record
            .statuses
            .iter()
            .filter(|it| *it.0 != 200)
            .map(|it| (*it.0, *it.1))
            .collect();
        named.chain(others.iter().map(status)).collect::<Vec<_>>().join(", ")
    }

    /// Whether the load could not ask as it should have: it had no processor time left, or was late with so many
    /// starts that this was no moment of somebody else's on its core. (What it says of itself is stricter; but here
    /// errors are what is asked for, not latencies.)
    #[must_use]
    pub fn is_load_bound(&self) -> bool {
        let verdict = Verdict::of(&self.record);
        verdict.cpu_percent >= BUSY_PERCENT || verdict.late_percent > LATE_PERCENT
    }
}
