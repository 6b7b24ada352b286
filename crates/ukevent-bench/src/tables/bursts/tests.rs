//! What the table shows of given results.

use super::show::show;
use crate::made_up::{cells, row as made_up};
use ukevent_measure::results::Outcome;

fn row(contender: &str, asked: &str, rate: f64) -> Outcome {
    made_up("bursts", contender, &[("asked", asked)], rate)
}

fn failed(contender: &str, asked: &str) -> Outcome {
    Outcome { ok: false, median: None, delivered: 2_990, ..row(contender, asked, 0.0) }
}

#[test]
fn then_and_now_stand_beside_each_other() {
    let mut results = vec![
        row("ukevent io_uring", "3000", 3_000.0),
        row("ukevent io_uring", "6000", 5_999.7),
        row("ukevent io_uring", "12000", 11_998.0),
        made_up("bursts", "ukevent io_uring", &[("limit", "load")], 24_000.0),
        row("bare epoll", "3000", 3_000.0),
        row("bare epoll", "6000", 6_000.0),
        failed("bare epoll", "12000"),
        failed("bad", "3000"),
    ];
    results[0].cpu_ns_per_unit = Some(6_150.0);
    results[1].cpu_ns_per_unit = Some(6_150.0);
    // Not in every round.
    results[2].rounds.pop();
    let view = show(&results);
    let grid = view.grids[0].1.to_string();
    assert_eq!(cells(&grid, "epoll"), ["epoll", "2006", "3,000", "1,747", "not told", ""]);
    assert_eq!(
        cells(&grid, "kevent_socket"),
        ["kevent_socket", "2006", "3,000", "2,522", "2,899", ""]
    );
    assert_eq!(
        cells(&grid, "ukevent io_uring"),
        ["ukevent io_uring", "now", "3,000", "3,000", "0", "6,000"]
    );
    assert_eq!(cells(&grid, "bare epoll")[5], "6,000");
    assert_eq!(cells(&grid, "bad"), ["bad", "now", "3,000", "failed", "10", "none"]);
    let rates = view.grids[1].1.to_string();
    assert_eq!(cells(&rates, "12,000"), ["12,000", "11,998", "10 errors", ""]);
    assert_eq!(cells(&view.grids[2].1.to_string(), "6,000"), ["6,000", "6.15", "12.3", ""]);
    let notes = view.notes.join("\n");
    for told in [
        "epoll 1,747; kevent_poll 1,719; kevent_socket 2,522 with 2,899 errors",
        "ukevent io_uring answered 6,000 a second without an error, 2 times as many",
        "At 24,000 a second the load itself was the bottleneck, with ukevent io_uring: what",
    ] {
        assert!(notes.contains(told), "{told}: {notes}");
    }
    // One contender holds no rate, so there is none in common.
    assert!(!notes.contains("CPU time of bare epoll"), "{notes}");
    let view = show(&results[..7]);
    assert!(
        view.notes.join("\n").contains(
            "At 6,000 a second, ukevent io_uring uses 0.50 of the CPU time of bare epoll."
        )
    );
    let chart = view.chart.unwrap();
    assert_eq!(chart.lines.len(), 2 + 2);
    let lost = chart.lines[1].points[2];
    assert_eq!(lost, (12_000.0, 12_000.0 * 2_990.0 / 3_000.0));
}

#[test]
fn what_the_load_could_not_ask_is_not_known() {
    let results = [
        row("ukevent epoll", "3000", 2_000.0),
        made_up("bursts", "ukevent epoll", &[("limit", "load")], 3_000.0),
    ];
    let view = show(&results);
    assert_eq!(cells(&view.grids[0].1.to_string(), "ukevent epoll")[5], "not known");
}

#[test]
fn who_never_ran_is_told() {
    let gone = Outcome::without_result("bursts", "bare epoll", Some("no socket".to_owned()));
    let view = show(&[row("ukevent epoll", "3000", 3_000.0), gone]);
    assert_eq!(view.grids.len(), 1);
    assert!(view.notes.contains(&"bare epoll has no result: no socket.".to_owned()));
}
