//! What those are told once a second who watch the server: an event of a stream of them.
//!
//! Server-sent events as the HTML standard has them (9.2.6, "Interpreting an event stream"). All who watch
//! are told the same at the same time: the full seconds since the server started. So an event is made once,
//! however many watch, and nothing is done while nobody does.

use crate::{counters::Counts, latency::Latency, page};
use std::{rc::Rc, time::Duration};

/// Who loses the stream is to ask again after so long.
pub(crate) const RETRY: &[u8] = b"retry: 2000\n";

const SECOND: Duration = Duration::from_secs(1);

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    last: Option<Beat>,
    /// What was counted by then.
    before: Latency,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    /// Seconds since the server started.
    pub(crate) number: u64,
    pub(crate) event: Rc<str>,
    /// From now to the next one.
    pub(crate) next: Duration,
}

impl Pulse {
    /// What is to be told so long after the server started.
    pub(crate) fn beat(&mut self, uptime: Duration, counts: &Counts) -> Beat {
        let number = uptime.as_secs();
        let next = SECOND - Duration::from_nanos(u64::from(uptime.subsec_nanos()));
        if let Some(last) = self.last.as_ref().filter(|last| last.number == number) {
            return Beat { next, ..last.clone() };
        }
        // What was counted while nobody watched is not of this second.
        let is_next = self.last.as_ref().is_some_and(|last| last.number + 1 == number);
        let latency = counts.latency();
        let since = if is_next { latency.since(&self.before) } else { Latency::default() };
        self.before = latency;
        let event = event(number, uptime, counts, &since).into();
        self.last.insert(Beat { number, event, next }).clone()
    }
}

/// An event that tells this. What no request was answered for is null.
fn event(number: u64, uptime: Duration, counts: &Counts, since: &Latency) -> String {
    let uptime_ms = uptime.as_millis();
    let [p50_us, p99_us] = [50.0, 99.0].map(|percent| match since.percentile(percent) {
        Some(took) => took.as_micros().to_string(),
        None => "null".to_owned(),
    });
    let counters = page::members(counts);
    format!(
        "id: {number}\ndata: {{\"uptime_ms\":{uptime_ms},\"p50_us\":{p50_us},\
         \"p99_us\":{p99_us},{counters}}}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn all_are_told_the_same_within_a_second_and_until_the_next() {
        let (mut pulse, counts) = (Pulse::default(), Counts::default());
        counts.own().accepted.add(7);
        let first = pulse.beat(5300 * MS, &counts);
        assert_eq!((first.number, first.next), (5, 700 * MS));
        assert!(first.event.starts_with("id: 5\ndata: {\"uptime_ms\":5300,\"p50_us\":null,"));
        assert!(first.event.contains("\"accepted\":7,") && first.event.ends_with("}\n\n"));
        counts.own().latency.record_all(3 * MS, 1);
        let again = pulse.beat(5999 * MS, &counts);
        assert_eq!((&again.event, again.number, again.next), (&first.event, 5, MS));
        let next = pulse.beat(6000 * MS, &counts);
        assert_eq!((next.number, next.next), (6, 1000 * MS));
        assert!(next.event.contains("\"p50_us\":3000,\"p99_us\":3000,"), "{}", next.event);
    }

    #[test]
    fn a_second_has_its_own_latency() {
        let (mut pulse, counts) = (Pulse::default(), Counts::default());
        let mut percentiles = |number: u32, took: Option<Duration>| {
            took.into_iter().for_each(|took| counts.own().latency.record_all(took, 1));
            let beat = pulse.beat(number * 1000 * MS, &counts);
            let (_, behind) = beat.event.split_once("\"p50_us\":").unwrap();
            behind.split(',').next().unwrap().to_owned()
        };
        assert_eq!(percentiles(1, Some(80 * MS)), "null", "it is not known when that was");
        assert_eq!(percentiles(2, Some(2 * MS)), "2000");
        assert_eq!(percentiles(3, None), "null");
        assert_eq!(percentiles(4, Some(3 * MS)), "3000");
        assert_eq!(percentiles(9, Some(80 * MS)), "null", "nobody watched for a while");
        assert_eq!(percentiles(10, Some(4 * MS)), "4000");
    }
}
