//! What is printed for given results.

use super::{between_marks, section};
use ukevent_measure::results::{File, Machine, Outcome, Parameters};

pub(super) fn row(contender: &str, operation: &str, rounds: &[f64]) -> Outcome {
    let mut parameters = Parameters::new();
    parameters.insert("trigger", "edge");
    parameters.insert("operation", operation);
    Outcome {
        parameters,
        unit: "ns".to_owned(),
        median: Some(rounds[1]),
        rounds: rounds.to_vec(),
        cpu_ns_per_unit: Some(7.0),
        ok: true,
        ..Outcome::without_result("ready", contender, None)
    }
}

/// Without the spaces by which cells stand below each other.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn file(results: Vec<Outcome>) -> File {
    let machine = Machine {
        cpu: "a processor".to_owned(),
        cores: 2,
        kernel: "6.18".to_owned(),
        build: "release".to_owned(),
    };
    File { machine, command: "ready --rounds 3".to_owned(), commit: "abc".to_owned(), results }
}

#[test]
fn a_table_has_figures_ratios_and_bars() {
    let lost = Outcome {
        median: None,
        ok: false,
        error: Some("9 of 10 were delivered".to_owned()),
        ..row("mio", "reap", &[0.0, 0.0])
    };
    let text = section(
        "ready",
        &file(vec![
            row("ukevent io_uring", "reap", &[100.0, 110.0, 120.0]),
            row("bare ring", "reap", &[100.0, 100.0, 130.0]),
            row("bare epoll", "reap", &[200.0, 220.0, 240.0]),
            lost,
        ]),
    );
    for line in [
        "`results/ready.json`: commit abc, a processor, 2 cores, Linux 6.18, release; `ready --rounds 3`",
        "**edge**, ns",
        "| operation | ukevent io_uring | bare ring | bare epoll | mio |",
        "| reap | 110 / 7.00 | 100 / 7.00 = 1.00 (0.91–1.08) | 220 / 7.00 × 2.00 (2.00–2.00) | none |",
        "| reaping costs ≤ 0.6 of bare epoll | 1 of 1 | trigger edge, operation reap | 0.50 (0.50–0.50) |",
        "| arming costs ≤ 1.15 of the bare ring | not judged: ukevent io_uring was not measured so | | |",
        "No result: mio trigger edge, operation reap: 9 of 10 were delivered.",
    ] {
        assert!(text.lines().any(|it| squeezed(it) == line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn every_bar_is_shown() {
    let ours = row("ukevent io_uring", "reap", &[100.0, 110.0, 120.0]);
    let lost = Outcome { median: None, ok: false, ..row("ukevent io_uring", "arm", &[0.0, 0.0]) };
    let text = section("ready", &file(vec![ours, lost]));
    for line in [
        "| arming costs ≤ 1.15 of the bare ring | 0 of 1 | trigger edge, operation arm | no result |",
        "| reaping costs ≤ 1.15 of the bare ring | not judged: bare ring is missing | | |",
        "| removing costs ≤ 1.15 of the bare ring | not judged: ukevent io_uring was not measured so | | |",
        "| reaping costs ≤ 0.6 of bare epoll | not judged: bare epoll is missing | | |",
    ] {
        assert!(text.lines().any(|it| squeezed(it) == line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn only_what_is_between_the_marks_changes() {
    let text = "a\n<!-- post -->\nold\n<!-- end of post -->\nb\n";
    let new = between_marks(text, "post", "new\n").unwrap();
    assert_eq!(new, "a\n<!-- post -->\n\nnew\n\n<!-- end of post -->\nb\n");
    assert_eq!(between_marks(&new, "post", "new\n").unwrap(), new, "twice is as once");
    assert!(between_marks(text, "idle", "").is_err());
}
