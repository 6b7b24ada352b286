//! Results as nobody measured them, for tests of what is shown.

use ukevent_measure::results::{Outcome, Parameters};

/// One with these parameters and this figure, in three rounds, and a CPU time of 12.3 µs.
pub(crate) fn row(
    table: &str,
    contender: &str,
    parameters: &[(&str, &str)],
    figure: f64,
) -> Outcome {
    let mut known = Parameters::new();
    parameters.iter().for_each(|&(name, value)| known.insert(name, value));
    Outcome {
        parameters: known,
        unit: "replies/s".to_owned(),
        median: Some(figure),
        rounds: vec![figure; 3],
        cpu_ns_per_unit: Some(12_300.0),
        expected: 3_000,
        delivered: 3_000,
        ok: true,
        ..Outcome::without_result(table, contender, None)
    }
}

/// The cells of the row that begins so.
pub(crate) fn cells(grid: &str, first: &str) -> Vec<String> {
    let line = grid.lines().find(|line| line.starts_with(&format!("| {first} ")));
    let line = line.unwrap_or_else(|| panic!("no row {first} in {grid}"));
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}
