//! `bursts`.

use ukevent_bench::tables::bursts::TABLE;
use ukevent_measure::{Plan, cores::Cores};

#[test]
fn all_deliver_and_are_shown() {
    let mut outcomes = Vec::new();
    (TABLE.run)(&Plan::smoke(), &Cores::find().unwrap(), &mut outcomes).unwrap();
    if outcomes.is_empty() {
        // One core: it said so.
        return;
    }
    let asked = || outcomes.iter().filter(|row| row.parameters.get("asked").is_some());
    assert_eq!(asked().count(), 5);
    for row in asked() {
        assert!(row.ok, "{row:?}");
        // 3,000 a second for 50 ms.
        assert_eq!(row.delivered, 150, "{row:?}");
    }
    let view = (TABLE.show)(&outcomes);
    let grid = view.grids[0].1.to_string();
    for name in ["kevent_socket", "2,522", "ukevent io_uring, sendfile", "ukevent poll"] {
        assert!(grid.contains(name), "{grid}");
    }
    assert_eq!(view.chart.unwrap().lines.len(), 5 + 2);
}
