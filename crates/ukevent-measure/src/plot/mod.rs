//! Curves as SVG, drawn by plotters without a font of its own: what shows them has one. Sizes of texts are
//! estimated, so there is room to spare around them.

pub mod scale;

use crate::text;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use scale::Axis;
use std::{error::Error, io};

const SIZE: (u32, u32) = (960, 600);
const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(222, 225, 230);
/// Colours of curves, in this order; they differ for those who see no red, too.
pub const COLOURS: [RGBColor; 7] = [
    BLUE,
    ORANGE,
    RED,
    RGBColor(20, 140, 110),
    RGBColor(120, 80, 170),
    RGBColor(100, 110, 120),
    RGBColor(170, 140, 20),
];
/// Of what is only there to compare with.
pub const GREY: RGBColor = RGBColor(150, 156, 166);
/// The first of [`COLOURS`].
pub const BLUE: RGBColor = RGBColor(31, 105, 180);
/// The second.
pub const ORANGE: RGBColor = RGBColor(214, 112, 20);
/// The third, which is also that of what went wrong.
pub const RED: RGBColor = RGBColor(190, 30, 45);

/// A part of a sheet.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Whether it could be drawn.
pub type Drawn = Result<(), Box<dyn Error>>;

/// A curve: broken into runs, where there is nothing between two points.
#[derive(Clone, Debug)]
pub struct Curve {
    /// As the legend has it; no entry, if it is empty.
    pub name: String,
    /// Its colour.
    pub colour: RGBColor,
    /// Its points, in the order of x.
    pub runs: Vec<Vec<(f64, f64)>>,
    /// Which of its points are marked.
    pub marks: Marks,
    /// Whether it is shown as an old one: thin and dashed.
    pub is_old: bool,
}

/// Which points of a curve are marked by a dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// Those that no line would show.
    Lone,
    /// The last one.
    Last,
    /// All: each was measured, and the line between them was not.
    All,
}

/// Writes a white sheet with a title, a line of what it is about, and a warning if there is one; the rest is given
/// to `draw`.
///
/// ```
/// use ukevent_measure::plot::{BLUE, Curve, Marks, panel, scale::{Axis, linear}, sheet};
///
/// let curve = Curve {
///     name: "squares".to_owned(),
///     colour: BLUE,
///     runs: vec![(0..10).map(|x| (f64::from(x), f64::from(x * x))).collect()],
///     marks: Marks::All,
///     is_old: false,
/// };
/// let mut svg = Vec::new();
/// sheet("Squares", "an example", "", &mut svg, |area| {
///     let x = Axis::new(0.0, 9.0, linear(9.0), |it| it.to_string());
///     let y = Axis::new(0.0, 100.0, linear(100.0), |it| it.to_string());
///     panel(area, (x, "number"), (y, "its square"), &[curve])
/// })?;
/// assert!(svg.starts_with(b"<svg"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// Those of `out`, and of drawing.
pub fn sheet(
    title: &str,
    about: &str,
    warning: &str,
    out: &mut dyn io::Write,
    draw: impl FnOnce(&Area<'_>) -> Drawn,
) -> io::Result<()> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let drawn = headed(&root, title, about, warning)
            .and_then(|rest| draw(&rest))
            .and_then(|()| Ok(root.present()?));
        drawn.map_err(|error| io::Error::other(error.to_string()))?;
    }
    out.write_all(svg.as_bytes())
}

fn headed<'a>(
    root: &Area<'a>,
    title: &str,
    about: &str,
    warning: &str,
) -> Result<Area<'a>, Box<dyn Error>> {
    root.fill(&WHITE)?;
    root.draw_text(title, &label(22, &INK), (24, 16))?;
    root.draw_text(&text::short(about, 135), &label(13, &INK), (24, 46))?;
    let mut y = 66;
    for line in text::lines(warning, 130) {
        root.draw_text(&line, &label(13, &RED), (24, y))?;
        y += 18;
    }
    Ok(root.margin(y + 6, 12, 12, 24))
}

/// Curves in a frame with two axes, each with its name, and a legend at the right if there are several.
///
/// # Errors
/// Those of drawing.
pub fn panel(area: &Area<'_>, x: (Axis, &str), y: (Axis, &str), curves: &[Curve]) -> Drawn {
    let named = || curves.iter().filter(|curve| !curve.name.is_empty());
    let longest = named().map(|curve| curve.name.chars().count()).max();
    let legend = longest.map_or(36, |characters| 24 + 8 * characters as i32);
    let mut chart = ChartBuilder::on(area)
        .x_label_area_size(50)
        .y_label_area_size(86)
        .margin_right(legend)
        .margin_top(10)
        .build_cartesian_2d(x.0, y.0)?;
    chart
        .configure_mesh()
        .axis_style(INK)
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 13, &INK))
        .axis_desc_style(("sans-serif", 14, &INK))
        .x_desc(x.1)
        .y_desc(y.1)
        .draw()?;
    for curve in curves {
        let colour = curve.colour;
        for run in &curve.runs {
            let marked = match curve.marks {
                Marks::Lone if run.len() > 1 => &[][..],
                Marks::Lone | Marks::All => &run[..],
                Marks::Last => &run[run.len().saturating_sub(1)..],
            };
            chart.draw_series(marked.iter().map(|&at| Circle::new(at, 3, colour.filled())))?;
            if curve.is_old {
                let dashes =
                    DashedLineSeries::new(run.iter().copied(), 5, 5, colour.stroke_width(1));
                chart.draw_series(dashes)?;
            } else {
                chart.draw_series(LineSeries::new(run.iter().copied(), colour.stroke_width(2)))?;
            }
        }
    }
    let left = area.dim_in_pixel().0 as i32 - legend + 10;
    for (y, curve) in (0..).map(|index| 12 + 20 * index).zip(named()) {
        area.draw_text(&curve.name, &label(14, &curve.colour), (left, y))?;
    }
    Ok(())
}

/// Text that begins at its left upper corner.
fn label<'a>(size: u32, colour: &'a RGBColor) -> TextStyle<'a> {
    ("sans-serif", size).into_font().color(colour).pos(Pos::new(HPos::Left, VPos::Top))
}

/// What is shown instead of a curve that would have no point.
///
/// # Errors
/// Those of drawing.
pub fn nothing(area: &Area<'_>, why: &str) -> Drawn {
    let (width, height) = area.dim_in_pixel();
    let style = label(18, &INK).pos(Pos::new(HPos::Center, VPos::Center));
    area.draw_text(why, &style, (width as i32 / 2, height as i32 / 2))?;
    Ok(())
}
