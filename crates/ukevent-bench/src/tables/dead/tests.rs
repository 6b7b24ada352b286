//! What the table shows of given results.

use super::show::show;
use crate::made_up::{cells, row as made_up};
use ukevent_measure::results::Outcome;

fn row(contender: &str, bytes: u32, dead: u32, rate: f64) -> Outcome {
    let (bytes, dead) = (bytes.to_string(), dead.to_string());
    made_up("dead", contender, &[("bytes", &bytes), ("dead", &dead)], rate)
}

#[test]
fn then_and_now_stand_beside_each_other() {
    let results = [
        row("ukevent io_uring", 128, 0, 100_000.0),
        row("ukevent io_uring", 128, 16_000, 99_000.0),
        row("bare poll", 128, 0, 80_000.0),
        row("bare poll", 128, 16_000, 8_000.0),
    ];
    let view = show(&results);
    let headings: Vec<&str> = view.grids.iter().map(|grid| grid.0.as_str()).collect();
    assert_eq!(
        headings,
        [
            "replies a second, of 128 bytes each",
            "replies a second, of 512 bytes each",
            "replies a second, of 1,024 bytes each",
            "CPU time of the server for a reply of 128 bytes, in µs",
        ]
    );
    let grid = view.grids[0].1.to_string();
    assert_eq!(
        cells(&grid, "16,000"),
        ["16,000", "2,350  10 %", "3,150  13 %", "26,400  98 %", "99,000  99 %", "8,000  10 %"]
    );
    // What was not measured is empty.
    assert_eq!(cells(&grid, "1,000")[4..], ["", ""]);
    assert_eq!(cells(&view.grids[3].1.to_string(), "16,000"), ["16,000", "12.3", "12.3"]);
    let notes = view.notes.join("\n");
    assert!(
        notes.contains(
            "With 16,000 dead connections, poll() kept 10 % of its rate; bare poll keeps 10 %."
        ),
        "{notes}"
    );
    assert!(
        notes.contains("new /dev/poll kept 98 % of its rate; ukevent io_uring keeps 99 %."),
        "{notes}"
    );
    let chart = view.chart.unwrap();
    assert_eq!(chart.lines.iter().filter(|line| line.is_old).count(), 3);
    assert_eq!(chart.lines[0].points, [(0.0, 100.0), (16_000.0, 99.0)]);
    let mut svg = Vec::new();
    chart.write("dead", "", &mut svg).unwrap();
    assert!(String::from_utf8(svg).unwrap().contains("new /dev/poll (2001)"));
}

#[test]
fn fewer_connections_than_then_are_told() {
    let results = [row("bare poll", 128, 0, 100.0), row("bare poll", 128, 9_800, 20.0)];
    let view = show(&results);
    let notes = view.notes.join("\n");
    assert!(
        notes.contains("In 2001 there were up to 16,000 dead connections, here 9,800."),
        "{notes}"
    );
    assert!(notes.contains("With 16,000 dead connections then, 9,800 now, poll() kept"), "{notes}");
    let grid = view.grids[0].1.to_string();
    assert_eq!(cells(&grid, "9,800"), ["9,800", "", "", "", "20  20 %"]);
    assert_eq!(cells(&grid, "16,000")[4], "");
}

#[test]
fn who_failed_has_no_figures() {
    let lost =
        Outcome::without_result("dead", "bare poll", Some("requests failed: 1 reset".into()));
    let view = show(&[row("bare epoll", 128, 0, 100.0), lost]);
    assert_eq!(cells(&view.grids[0].1.to_string(), "0")[4..], ["100 100 %", "failed"]);
    assert!(view.notes.contains(&"bare poll has no result: requests failed: 1 reset.".to_owned()));
    assert_eq!(show(&[]).grids.len(), 3);
}
