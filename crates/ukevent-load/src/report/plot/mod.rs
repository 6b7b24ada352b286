//! Curves as SVG, drawn by plotters without a font of its own: what shows them has one. Sizes of texts are
//! estimated, so there is room to spare around them.

mod over_time;
mod percentiles;
mod scale;

use super::{About, text};
use crate::verdict::Verdict;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::{error::Error, io};

pub(super) use over_time::write as over_time;
pub(super) use percentiles::write as percentiles;

const SIZE: (u32, u32) = (960, 600);
const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(222, 225, 230);
const BLUE: RGBColor = RGBColor(31, 105, 180);
const ORANGE: RGBColor = RGBColor(214, 112, 20);
const RED: RGBColor = RGBColor(190, 30, 45);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// A white sheet with a title and what the run was; the rest is given to `draw`.
fn sheet(
    title: &str,
    about: &About,
    verdict: &Verdict,
    out: &mut dyn io::Write,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> io::Result<()> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let drawn = headed(&root, title, about, verdict)
            .and_then(|rest| draw(&rest))
            .and_then(|()| Ok(root.present()?));
        drawn.map_err(|error| io::Error::other(error.to_string()))?;
    }
    out.write_all(svg.as_bytes())
}

fn headed<'a>(
    root: &Area<'a>,
    title: &str,
    about: &About,
    verdict: &Verdict,
) -> Result<Area<'a>, Box<dyn Error>> {
    root.fill(&WHITE)?;
    root.draw_text(title, &label(22, &INK), (24, 16))?;
    let url = text::short(&about.url, 60);
    let run = format!("{url} · {} · {}", about.mode, about.started_text());
    root.draw_text(&text::short(&run, 135), &label(13, &INK), (24, 46))?;
    let mut y = 66;
    if verdict.is_bottleneck() {
        for line in text::lines(&verdict.to_string(), 130) {
            root.draw_text(&line, &label(13, &RED), (24, y))?;
            y += 18;
        }
    }
    Ok(root.margin(y + 6, 12, 12, 24))
}

/// Text that begins at its left upper corner.
fn label<'a>(size: u32, colour: &'a RGBColor) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(colour).pos(Pos::new(HPos::Left, VPos::Top))
}

/// What is shown instead of a curve that would have no point.
fn nothing(area: &Area<'_>, why: &str) -> Drawn {
    let (width, height) = area.dim_in_pixel();
    let style = label(18, &INK).pos(Pos::new(HPos::Center, VPos::Center));
    area.draw_text(why, &style, (width as i32 / 2, height as i32 / 2))?;
    Ok(())
}
