//! Counting while a load is made: the record, and the part of it that is still open.

use super::run::Flight;
use crate::{
    Class, Reply,
    record::{Record, Sample, Times},
};
use std::time::Duration;

/// How long a part of a run is.
const PART_NS: u64 = 1_000_000_000;

/// A record that is being made.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) record: Record,
    /// Of the open part, which is that of this number.
    number: u64,
    latency: Times,
    errors: u64,
    /// When the last thing was counted.
    last_ns: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { record: Record::new(), number: 0, latency: Times::new(), errors: 0, last_ns: 0 }
    }

    /// A request has its reply, so long after the beginning.
    pub(super) fn replied(&mut self, at_ns: u64, times: &ReplyTimes, reply: &Reply) {
        self.turn_to(at_ns);
        self.last_ns = at_ns;
        self.latency.record_ns(times.latency_ns);
        let record = &mut self.record;
        record.replies += 1;
        *record.statuses.entry(reply.status).or_default() += 1;
        record.latency.record_ns(times.latency_ns);
        record.response.record_ns(times.response_ns);
        record.transfer.record_ns(times.transfer_ns);
        record.head_bytes += reply.head_bytes;
        record.body_bytes += reply.body_bytes;
    }

    /// A request will have none.
    pub(super) fn failed(&mut self, at_ns: u64, class: Class) {
        self.turn_to(at_ns);
        self.last_ns = at_ns;
        self.errors += 1;
        self.record.errors.count(class);
    }

    /// Closes the parts before this moment.
    pub(super) fn turn_to(&mut self, at_ns: u64) {
        while at_ns / PART_NS > self.number {
            self.close(PART_NS);
        }
    }

    fn close(&mut self, length_ns: u64) {
        let (at, length) = (self.number * PART_NS, length_ns);
        let sample = Sample::of(
            Duration::from_nanos(at),
            Duration::from_nanos(length),
            self.errors,
            &self.latency,
        );
        self.record.samples.push(sample);
        self.number += 1;
        self.latency.clear();
        self.errors = 0;
    }

    /// The record of a run that was so long. What failed after that has a part too: the parts have all that was
    /// counted.
    pub(super) fn finish(mut self, length_ns: u64) -> Record {
        self.turn_to(length_ns);
        let has_counted = self.errors > 0 || self.latency.count() > 0;
        let end_ns = if has_counted { length_ns.max(self.last_ns + 1) } else { length_ns };
        let rest_ns = end_ns.saturating_sub(self.number * PART_NS);
        if rest_ns > 0 {
            self.close(rest_ns);
        }
        self.record
    }
}

/// How long the parts of an exchange took.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplyTimes {
    latency_ns: u64,
    response_ns: u64,
    transfer_ns: u64,
}

impl ReplyTimes {
    /// Of a request whose reply began and ended then.
    pub(super) const fn of(flight: &Flight, first_ns: u64, last_ns: u64) -> Self {
        Self {
            latency_ns: last_ns.saturating_sub(flight.intended_ns),
            response_ns: first_ns.saturating_sub(flight.left_ns),
            transfer_ns: last_ns.saturating_sub(first_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(record: &Record) -> u64 {
        record.samples.iter().map(|sample| sample.errors).sum()
    }

    #[test]
    fn parts_have_all_that_was_counted() {
        for at_ns in [0, 1, PART_NS - 1, PART_NS, PART_NS + 1, 3 * PART_NS, 3 * PART_NS + 5] {
            for length_ns in [1, PART_NS, PART_NS + 1, 2 * PART_NS] {
                let mut tally = Tally::new();
                tally.failed(at_ns, Class::ReplyTimeout);
                let record = tally.finish(length_ns);
                assert_eq!(errors(&record), 1, "at {at_ns} of {length_ns}");
                let last = record.samples.last().unwrap();
                let end_ns = (last.at + last.length).as_nanos() as u64;
                assert_eq!(end_ns, length_ns.max(at_ns + 1), "at {at_ns} of {length_ns}");
            }
        }
        assert!(Tally::new().finish(0).samples.is_empty());
    }
}
