//! A run as curves.

mod over_time;
mod percentiles;

use super::About;
use crate::verdict::Verdict;
use std::io;
use ukevent_measure::{
    plot::{Area, Drawn},
    text,
};

pub(super) use over_time::write as over_time;
pub(super) use percentiles::write as percentiles;

/// A sheet about a run, with a warning if the generator was the bottleneck.
fn sheet(
    title: &str,
    about: &About,
    verdict: &Verdict,
    out: &mut dyn io::Write,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> io::Result<()> {
    let url = text::short(&about.url, 60);
    let run = format!("{url} · {} · {}", about.mode, about.started_text());
    let warning = if verdict.is_bottleneck() { verdict.to_string() } else { String::new() };
    ukevent_measure::plot::sheet(title, &run, &warning, out, draw)
}
