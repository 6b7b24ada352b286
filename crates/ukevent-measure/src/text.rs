//! Numbers as people read them: with a unit by their size, in three or four digits. And lines that fit.

use std::time::Duration;

/// A time in the unit that fits its size: `850 ns`, `12.3 µs`, `1.23 ms`, `45.6 s`.
#[must_use]
pub fn time(time: Duration) -> String {
    let ns = time.as_nanos() as f64;
    if time.is_zero() {
        return "0".to_owned();
    }
    scaled(ns, 1000.0, &["ns", "µs", "ms", "s"])
}

/// Bytes, in powers of 1000.
#[must_use]
pub fn bytes(count: f64) -> String {
    scaled(count, 1000.0, &["B", "kB", "MB", "GB", "TB"])
}

/// Three digits, and a unit of which each is so many times the one before. The last has no bound.
fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut units = units.iter().peekable();
    let mut unit = units.next().copied().unwrap_or_default();
    let mut whole = true;
    // 999.7 would be shown as 1000.
    while value >= step - 0.5
        && let Some(next) = units.next()
    {
        (value, unit, whole) = (value / step, next, false);
    }
    let digits = match value {
        _ if whole => 0,
        it if it >= 99.95 => 0,
        it if it >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// A count in groups of three digits, with one decimal if it is small and not whole.
#[must_use]
pub fn count(value: f64) -> String {
    if value < 100.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Lines of words of at most so many characters. A longer word has a line of its own.
#[must_use]
pub fn lines(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        // A number is not torn from its per cent.
        match lines.last_mut() {
            Some(line)
                if line.chars().count() + 1 + word.chars().count() <= columns || word == "%" =>
            {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Its end is left out, if it has more than so many characters. What controls a terminal is shown as `?`.
#[must_use]
pub fn short(text: &str, columns: usize) -> String {
    let clean = text.chars().map(|it| if it.is_control() { '?' } else { it });
    if text.chars().count() <= columns {
        clean.collect()
    } else {
        clean.take(columns.saturating_sub(1)).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit_their_size() {
        for (ns, text) in [
            (0, "0"),
            (1, "1 ns"),
            (999, "999 ns"),
            (1000, "1.00 µs"),
            (12_345, "12.3 µs"),
            (999_400, "999 µs"),
            (999_700, "1.00 ms"),
            (9_996_000, "10.0 ms"),
            (123_456_789, "123 ms"),
            (61_000_000_000, "61.0 s"),
            (3_600_000_000_000, "3600 s"),
        ] {
            assert_eq!(time(Duration::from_nanos(ns)), text);
        }
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(4096.0), "4.10 kB");
        assert_eq!(bytes(5e13), "50.0 TB");
    }

    #[test]
    fn counts_have_groups() {
        for (value, text) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (12.34, "12.3"),
            (999.4, "999"),
            (1000.0, "1,000"),
            (1_234_567.8, "1,234,568"),
        ] {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn lines_fit() {
        assert_eq!(lines("one two three", 7), ["one two", "three"]);
        assert_eq!(lines("used 95 % of", 7), ["used 95 %", "of"]);
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(short("a\x1bb", 4), "a?b");
    }
}
