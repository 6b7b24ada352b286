//! `sequential`.

use ukevent_bench::tables::sequential::TABLE;
use ukevent_measure::{Plan, cores::Cores};

#[test]
fn all_deliver_and_are_shown() {
    let mut outcomes = Vec::new();
    (TABLE.run)(&Plan::smoke(), &Cores::find().unwrap(), &mut outcomes).unwrap();
    if outcomes.is_empty() {
        // One core: it said so.
        return;
    }
    assert_eq!(outcomes.len(), 3 * 3);
    for row in &outcomes {
        assert!(row.ok && row.delivered > 0, "{row:?}");
    }
    let view = (TABLE.show)(&outcomes);
    let grid = view.grids[0].1.to_string();
    for name in ["kevent (2006)", "1,759", "1,258", "1.47", "ukevent epoll", "bare epoll"] {
        assert!(grid.contains(name), "{grid}");
    }
    assert_eq!(view.chart.unwrap().lines.len(), 3 + 2);
}
