//! What the table shows of given results.

use super::show::show;
use crate::made_up::{cells, row as made_up};
use ukevent_measure::results::Outcome;

fn row(contender: &str, way: &str, rate: f64) -> Outcome {
    made_up("sequential", contender, &[("page", way)], rate)
}

#[test]
fn then_and_now_stand_beside_each_other() {
    let results = [
        row("ukevent io_uring", "read, send", 10_000.0),
        row("ukevent io_uring", "sendfile", 11_000.0),
        row("ukevent io_uring", "memory", 12_000.0),
        Outcome::without_result("sequential", "bare epoll", Some("no socket".to_owned())),
    ];
    let view = show(&results);
    let grid = view.grids[0].1.to_string();
    assert_eq!(
        cells(&grid, "read, send"),
        ["read, send", "1,759", "1,034", "", "10,000", "failed"]
    );
    assert_eq!(cells(&grid, "sendfile"), ["sendfile", "2,587", "", "", "11,000", "failed"]);
    assert_eq!(cells(&grid, "not told"), ["not told", "", "", "1,258", "", ""]);
    assert_eq!(
        cells(&grid, "sendfile ÷ read, send"),
        ["sendfile ÷ read, send", "1.47", "", "", "1.10 (1.10–1.10)", ""]
    );
    assert_eq!(cells(&view.grids[1].1.to_string(), "memory"), ["memory", "12.3", ""]);
    let notes = view.notes.join("\n");
    for told in [
        "1.47 times as many requests as by reading and sending; now it is with ukevent io_uring 1.10 \
         (1.10–1.10) times as many.",
        "bare epoll has no result: no socket.",
    ] {
        assert!(notes.contains(told), "{told}: {notes}");
    }
    let chart = view.chart.unwrap();
    assert_eq!(chart.labels.len(), 3);
    assert_eq!(chart.lines[0].points[2], (2.5, 12_000.0));
    assert!(chart.lines[1].is_old && chart.lines[1].points.len() == 2);
}

#[test]
fn no_difference_is_said() {
    let mut results =
        [row("bare epoll", "read, send", 100.0), row("bare epoll", "sendfile", 101.0)];
    results[1].rounds = vec![99.0, 101.0, 102.0];
    let notes = show(&results).notes.join("\n");
    assert!(
        notes.contains("with bare epoll 1.01 (0.99–1.02) times as many, which is no difference."),
        "{notes}"
    );
}
