//! Events as lines for people: time, spec, what, name and the rest, in columns.
//!
//! Names come from elsewhere (file names, devices): what would move the cursor or colour the
//! terminal is written as an escape.

use crate::watch::report::{Report, Value};
use jiff::tz::TimeZone;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

/// The style of a line: how wide the columns are, and whether there is colour.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    colour: bool,
    zone: TimeZone,
    spec_width: usize,
    name_width: usize,
}

/// A column that holds more than this runs over.
const WIDEST: usize = 32;
const WHAT_WIDTH: usize = 12;
/// The column of names begins so wide and widens when a longer one comes.
const NAME_WIDTH: usize = 12;

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const CYAN: &str = "\x1b[36m";

impl Text {
    pub(crate) fn new<'a>(
        specs: impl Iterator<Item = &'a OsStr>,
        zone: TimeZone,
        colour: bool,
    ) -> Self {
        let spec_width = specs.map(|spec| escaped(spec).chars().count()).max().unwrap_or(0);
        Self { colour, zone, spec_width: spec_width.min(WIDEST), name_width: NAME_WIDTH }
    }

    /// The line of an event, with its end.
    pub(crate) fn line(&mut self, report: &Report) -> String {
        let time = report.time.to_zoned(self.zone.clone()).strftime("%H:%M:%S%.3f").to_string();
        let name = escaped(&report.story.name);
        self.name_width = self.name_width.max(name.chars().count().min(WIDEST));
        let what = &report.story.what;
        let mut line = String::new();
        self.cell(&mut line, DIM, &time, 0);
        self.cell(&mut line, CYAN, &escaped(&report.spec), self.spec_width);
        self.cell(&mut line, colour_of(what), &escaped(OsStr::new(what)), WHAT_WIDTH);
        self.cell(&mut line, "", &name, self.name_width);
        self.cell(&mut line, DIM, &data(report), 0);
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }

    fn cell(&self, line: &mut String, colour: &str, text: &str, width: usize) {
        if !line.is_empty() {
            line.push_str("  ");
        }
        let is_plain = !self.colour || colour.is_empty() || text.is_empty();
        let (on, off) = if is_plain { ("", "") } else { (colour, RESET) };
        let padding = width.saturating_sub(text.chars().count());
        // Writing to a string cannot fail.
        let _ = write!(line, "{on}{text}{off}{:padding$}", "");
    }
}

/// What is gone or wrong stands out, and what is new.
fn colour_of(what: &str) -> &'static str {
    match what {
        "failed" | "killed" | "error" => RED,
        "rescan" | "gone" | "unmounted" | "hang-up" => YELLOW,
        what if what.ends_with("removed") || what == "remove" || what == "moved-from" => YELLOW,
        "created" | "moved-to" | "connected" | "forked" | "add" => GREEN,
        _ => "",
    }
}

/// What the columns before do not say.
fn data(report: &Report) -> String {
    let mut words = Vec::new();
    for (name, value) in &report.story.data {
        match (*name, value) {
            ("path" | "fd" | "code" | "peer" | "local" | "index" | "errno", _) => {}
            ("expirations" | "count", Value::Number(1)) | (_, Value::Flag(false)) => {}
            (name, Value::Flag(true)) => words.push(name.to_owned()),
            (name, Value::Number(number)) => words.push(format!("{name}={number}")),
            (name, Value::Text(text)) => words.push(format!("{name}={}", quoted(text))),
            ("readiness", Value::Words(list)) => {
                words.extend(list.iter().skip(1).map(|&it| it.to_owned()))
            }
            (name, Value::Words(list)) => words.push(format!("{name}={}", list.join(","))),
            (_, Value::Pairs(_)) => {}
        }
    }
    words.join(" ")
}

fn quoted(text: &OsStr) -> String {
    let text = escaped(text);
    if text.is_empty() || text.contains([' ', '"']) { format!("{text:?}") } else { text }
}

/// The text, with an escape for each character that is none to be shown, and for what is not UTF-8.
pub(crate) fn escaped(text: &OsStr) -> String {
    let mut shown = String::new();
    for chunk in text.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_direction(character) {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Characters that turn the direction of what follows, and so can make a name look like another.
const fn is_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
