//! The search against servers that are models: one that bears so much and no more, and others that are worse.

use super::*;
use crate::report::{About, Mode};
use proptest::prelude::*;

/// The rates that it tried, and what it found.
fn search(bounds: Bounds, mut server: impl FnMut(f64) -> Outcome) -> (Vec<(f64, Outcome)>, Found) {
    let mut search = Search::new(bounds);
    let mut steps = Vec::new();
    while let Some(rate) = search.next_rate() {
        assert_eq!(search.next_rate(), Some(rate), "it does not change its mind");
        let outcome = server(rate);
        search.tell(outcome);
        steps.push((rate, outcome));
        assert!(steps.len() <= 10_000, "without end: {bounds:?}");
    }
    (steps, search.found())
}

const fn up_to(capacity: f64, rate: f64) -> Outcome {
    if rate <= capacity { Outcome::Met } else { Outcome::Slow }
}

fn bounds() -> impl Strategy<Value = Bounds> {
    (0.1..2e6, 0.001..0.5).prop_map(|(start, precision)| Bounds {
        start,
        precision,
        ..Bounds::default()
    })
}

/// Doublings or halvings from anywhere to anywhere, and then halvings of a distance of twice at most.
fn most_steps(precision: f64) -> usize {
    24 + (1.0 / precision).log2().ceil() as usize + 2
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        10 => Just(Outcome::Met),
        10 => Just(Outcome::Slow),
        5 => Just(Outcome::Failed),
        1 => Just(Outcome::Limited),
    ]
}

/// The lowest rate that was missed while the generator kept up.
fn beyond_all(steps: &[(f64, Outcome)]) -> Option<f64> {
    let missed = steps.iter().filter(|it| matches!(it.1, Outcome::Slow | Outcome::Failed));
    missed.map(|it| it.0).min_by(f64::total_cmp)
}

proptest! {
    #[test]
    fn what_a_server_bears_is_found(bounds in bounds(), capacity in 1.0..9e6) {
        let (steps, found) = search(bounds, |rate| up_to(capacity, rate));
        prop_assert!(steps.len() <= most_steps(bounds.precision), "{} steps", steps.len());
        let Found::Between { met, missed } = found else {
            return Err(TestCaseError::fail(format!("{found:?}")));
        };
        prop_assert!(met <= capacity && capacity < missed, "{found:?} for {capacity}");
        prop_assert!(missed <= met * (1.0 + bounds.precision) * (1.0 + 1e-9), "{found:?}");
    }

    /// Whatever it answers: the search ends, tries no rate twice and none outside of its bounds, and what it says was
    /// so.
    #[test]
    fn a_server_that_answers_at_random(
        bounds in bounds(),
        outcomes in prop::collection::vec(outcomes(), 200),
    ) {
        let mut outcomes = outcomes.into_iter();
        let (steps, found) = search(bounds, |_| outcomes.next().unwrap_or(Outcome::Met));
        prop_assert!(steps.len() <= most_steps(bounds.precision), "{} steps", steps.len());
        for (index, (rate, _)) in steps.iter().enumerate() {
            prop_assert!((1.0..=crate::MOST_RATE).contains(rate));
            prop_assert!(steps[..index].iter().all(|(before, _)| before != rate), "{steps:?}");
        }
        let came = |rate: f64, outcome| steps.contains(&(rate, outcome));
        match found {
            Found::Between { met, missed } => {
                prop_assert!(came(met, Outcome::Met));
                prop_assert!(came(missed, Outcome::Slow) || came(missed, Outcome::Failed));
                prop_assert!(met < missed);
            }
            Found::AtLeast { met, by_generator, beyond } => {
                prop_assert!(came(met, Outcome::Met));
                prop_assert_eq!(beyond, if by_generator { beyond_all(&steps) } else { None });
                let lowest = steps.iter().rfind(|step| step.1 != Outcome::Met);
                prop_assert_eq!(by_generator, lowest.is_some_and(|it| it.1 == Outcome::Limited));
            }
            Found::Nothing { missed, by_generator, beyond } => {
                prop_assert_eq!(beyond, if by_generator { beyond_all(&steps) } else { None });
                prop_assert!(!came(missed, Outcome::Met));
                prop_assert!(missed <= 1.0);
            }
            Found::Silent | Found::Ceased { .. } => prop_assert!(false),
        }
    }

    /// A generator that gives out is no limit of the server's.
    #[test]
    fn where_the_generator_gives_out(start in 1.0..1e6, own in 1.0..9e6) {
        let bounds = Bounds { start, ..Bounds::default() };
        let limited = |rate| if rate <= own { Outcome::Met } else { Outcome::Limited };
        let (steps, found) = search(bounds, limited);
        let Found::AtLeast { met, by_generator: true, beyond: None } = found else {
            return Err(TestCaseError::fail(format!("{found:?}")));
        };
        prop_assert!(met <= own && own < met * 2.0, "{found:?} for {own}");
        prop_assert!(steps.len() <= 25);
    }
}

#[test]
fn at_its_bounds() {
    let (steps, found) = search(Bounds::default(), |_| Outcome::Silent);
    assert_eq!((steps.len(), found), (1, Found::Silent));
    let dies = |rate| if rate <= 2000.0 { Outcome::Met } else { Outcome::Silent };
    let (steps, found) = search(Bounds::default(), dies);
    assert_eq!((steps.len(), found), (3, Found::Ceased { met: 2000.0, at: 4000.0 }));
    let (_, found) = search(Bounds::default(), |_| Outcome::Met);
    assert_eq!(found, Found::AtLeast { met: crate::MOST_RATE, by_generator: false, beyond: None });
    let (_, found) = search(Bounds::default(), |_| Outcome::Failed);
    assert_eq!(found, Found::Nothing { missed: 1.0, by_generator: false, beyond: None });
    let few = Bounds { steps: 3, ..Bounds::default() };
    let (steps, found) = search(few, |rate| up_to(1e6, rate));
    assert_eq!(steps.len(), 3);
    assert_eq!(found, Found::AtLeast { met: 4000.0, by_generator: false, beyond: None });
    // As exact as numbers are.
    let exact = Bounds { precision: 0.0, steps: u32::MAX, ..Bounds::default() };
    let (steps, found) = search(exact, |rate| up_to(1234.567, rate));
    assert!(steps.len() < 100, "{}", steps.len());
    assert_eq!(found, Found::Between { met: 1234.567, missed: 1234.567_f64.next_up() });
}

/// What was missed while the generator kept up stays missed, also where it did not keep up at a lower rate.
#[test]
fn a_miss_above_a_step_that_was_limited() {
    let server = |rate: f64| match rate {
        4000.0.. => Outcome::Slow,
        2600.0.. => Outcome::Limited,
        _ => Outcome::Met,
    };
    let (steps, found) = search(Bounds::default(), server);
    let rates: Vec<f64> = steps.iter().map(|step| step.0).collect();
    assert_eq!(rates, [1000.0, 2000.0, 4000.0, 3000.0, 2500.0, 2750.0, 2625.0]);
    assert_eq!(
        found,
        Found::AtLeast { met: 2500.0, by_generator: true, beyond: Some(4000.0) },
        "a generator that kept up at 4,000 is not at its end at 3,000"
    );
    // Also when none was met at all.
    let server = |rate| if rate < 500.0 { Outcome::Limited } else { Outcome::Slow };
    let (_, found) = search(Bounds::default(), server);
    assert_eq!(found, Found::Nothing { missed: 1.0, by_generator: true, beyond: Some(500.0) });
    // And a lower miss is nearer.
    let server = |rate: f64| match rate {
        4000.0.. => Outcome::Slow,
        3000.0.. => Outcome::Limited,
        2500.0.. => Outcome::Failed,
        _ => Outcome::Met,
    };
    let (_, found) = search(Bounds::default(), server);
    let Found::Between { met, missed: 2500.0 } = found else { panic!("{found:?}") };
    assert!(met < 2500.0);

    let server = |rate: f64| match rate {
        4000.0.. => Outcome::Slow,
        2600.0.. => Outcome::Limited,
        _ => Outcome::Met,
    };
    let text = told(Form::Human, "p99=10ms", server);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains(
            "is at least 2,500 requests/s; at 4,000 requests/s p99 was 12.0 ms. In between the load generator was \
             the bottleneck"
        ),
        "{text}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&told(Form::Json, "p99=10ms", server)).unwrap();
    assert_eq!((&json["found_per_s"], &json["missed_per_s"]), (&2500.0.into(), &4000.0.into()));
    assert_eq!(json["is_at_least"], true);
    let server = |rate| if rate < 500.0 { Outcome::Limited } else { Outcome::Slow };
    let text = told(Form::Human, "p99=10ms", server);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("No rate met p99 ≤ 10ms: at 500 requests/s p99 was 12.0 ms; below that the load generator"),
        "{text}"
    );
}

#[test]
fn what_a_step_comes_to() {
    let goal: Goal = "p99=10ms".parse().unwrap();
    let run = |replies: u64, latency_ms: u64, errors: u32, busy_ms: u64| {
        let mut record = Record::new();
        record.duration = Duration::from_secs(1);
        record.replies = replies;
        record.requests = 100;
        (0..replies).for_each(|_| record.latency.record(Duration::from_millis(latency_ms)));
        (0..errors).for_each(|_| record.errors.count(crate::Class::Reset));
        let busy = Duration::from_millis(busy_ms);
        record.cpu = crate::record::Cpu::of_one(busy, Duration::ZERO, record.duration);
        Step::of(100.0, goal, &record).outcome
    };
    assert_eq!(run(100, 9, 0, 100), Outcome::Met);
    assert_eq!(run(100, 11, 0, 100), Outcome::Slow);
    assert_eq!(run(100, 9, 1, 100), Outcome::Failed);
    assert_eq!(run(100, 11, 0, 950), Outcome::Limited);
    // What only a server does is no excuse; and who answers half of it keeps nobody waiting yet.
    assert_eq!(run(100, 11, 3, 950), Outcome::Failed);
    assert_eq!(run(50, 9, 0, 100), Outcome::Slow);
    assert_eq!(run(50, 9, 0, 950), Outcome::Limited);
    assert_eq!(run(100, 9, 0, 950), Outcome::Met);
    assert_eq!(run(0, 0, 100, 950), Outcome::Silent);
}

fn told(form: Form, goal: &str, server: impl Fn(f64) -> Outcome) -> String {
    let goal: Goal = goal.parse().unwrap();
    let mode = Mode::Open { arrivals: crate::Arrivals::Even { rate: 1000.0 } };
    let about = About { processes: 3, ..About::new("http://localhost:8080/", mode) };
    let mut report = Report::new(form, goal, about, 64, Duration::from_secs(5));
    let mut text = Vec::new();
    report.begin(&mut text).unwrap();
    let model = |rate| Step {
        rate,
        got: rate - 0.4,
        p50: Duration::from_micros(812),
        p99: Duration::from_micros(4_812),
        longest: Duration::from_millis(999),
        aimed: Duration::from_millis(12),
        errors: if server(rate) == Outcome::Failed { 123_456 } else { 0 },
        busiest_percent: 42.0,
        connections: 64,
        outcome: server(rate),
    };
    let (steps, found) = search(Bounds::default(), |rate| model(rate).outcome);
    steps.iter().for_each(|&(rate, _)| report.step(model(rate), &mut text).unwrap());
    report.end(found, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn it_is_told_in_lines_that_fit() {
    let failing = |rate| if rate <= 1e6 { Outcome::Met } else { Outcome::Failed };
    for goal in ["p99=10ms", "p99.9=1h 59m 59s 999ms"] {
        let text = told(Form::Human, goal, failing);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert_eq!(line.trim_end(), line);
        }
        assert_eq!(text.contains("p99.9 "), goal.starts_with("p99.9"), "{text}");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("/s there were 123,456 errors."), "{text}");
        assert!(text.contains("All 64 connections were at work"), "{text}");
        assert!(text.contains("By rate:"), "{text}");
    }
    let limited = |rate| if rate <= 9000.0 { Outcome::Met } else { Outcome::Limited };
    let text = told(Form::Human, "p99=10ms", limited);
    assert!(
        !text.contains("By rate:")
            && text.contains("is at least 8,000 requests/s: above it the\nload generator was"),
        "{text}"
    );
}

#[test]
fn programs_read_it() {
    let text = told(Form::Json, "p99.9=10ms", |rate| up_to(5000.0, rate));
    assert_eq!(text.lines().count(), 1);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["goal"], &json["goal_us"]), (&"p99.9".into(), &10_000.0.into()));
    let (found, missed) =
        (json["found_per_s"].as_f64().unwrap(), json["missed_per_s"].as_f64().unwrap());
    assert!(found <= 5000.0 && 5000.0 < missed && missed <= found * 1.05, "{json}");
    assert_eq!(json["steps"][0]["outcome"], "met");
    let csv = told(Form::Csv, "p50=10ms", |rate| up_to(5000.0, rate));
    assert_eq!(csv.lines().count(), 1 + json["steps"].as_array().unwrap().len());
    assert!(csv.lines().all(|row| row.split(',').count() == 11), "{csv}");
}
