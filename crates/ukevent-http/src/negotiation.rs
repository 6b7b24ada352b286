//! Which of several representations a client prefers.
//!
//! RFC 9110: 12.4.2 quality values, 12.5.1 Accept, 12.5.3 Accept-Encoding, 8.4.1 the codings,
//! 12.5.5 Vary.
//!
//! What cannot be read of a list is passed over, element by element. Of two lines for one thing the
//! first counts. Nothing is ever refused with 406: a client that accepts none of what there is gets
//! the file as it lies there (12.5.3 and 12.5.1 leave that to the server), for most that exclude
//! everything do so by mistake, and all can read what the rest of the world reads.

use crate::request::trim;

/// A content coding that files are found in (RFC 9110, 8.4.1; RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Zstandard,
    Gzip,
}

impl Coding {
    /// All, the one that is sent first if a client does not care.
    pub(crate) const ALL: [Self; 3] = [Self::Brotli, Self::Zstandard, Self::Gzip];

    /// As it stands in Content-Encoding.
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// How the name of a file ends that holds another file in this coding.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// Its place in [`Coding::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// `x-gzip` is `gzip` (RFC 9110, 8.4.1.3).
    fn of(token: &[u8]) -> Option<Self> {
        let is = |name: &[u8]| token.eq_ignore_ascii_case(name);
        match token.len() {
            2 if is(b"br") => Some(Self::Brotli),
            4 if is(b"zstd") => Some(Self::Zstandard),
            4 if is(b"gzip") => Some(Self::Gzip),
            6 if is(b"x-gzip") => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// A quality value in thousandths: 0 is "not acceptable".
type Quality = u16;

const BEST: Quality = 1000;

/// What an Accept-Encoding field says of the codings there are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Codings {
    each: [Quality; 3],
    /// `None` if it is not named: acceptable, and the last choice.
    identity: Option<Quality>,
}

impl Codings {
    /// Reads the lines of the field. None at all accept everything, and are answered without a
    /// coding: who does not ask for one may not know any.
    pub(crate) fn of<'b>(lines: impl Iterator<Item = &'b [u8]>) -> Self {
        let (mut each, mut identity, mut others) = ([None; 3], None, None);
        for element in lines.flat_map(elements) {
            let mut parts = parts(element, b';');
            let token = parts.next().unwrap_or_default();
            let Some(quality) = quality(parts) else { continue };
            let said: &mut Option<Quality> = match Coding::of(token) {
                Some(coding) => &mut each[coding.index()],
                None if token.eq_ignore_ascii_case(b"identity") => &mut identity,
                None if token == b"*" => &mut others,
                None => continue,
            };
            said.get_or_insert(quality);
        }
        Self { each: each.map(|said| said.or(others).unwrap_or(0)), identity: identity.or(others) }
    }

    /// The best of the codings for which `has` holds; `None` for none.
    pub(crate) fn best(&self, has: impl Fn(Coding) -> bool) -> Option<Coding> {
        let mut best = None;
        // Of equals the first; and any that is accepted rather than none, unless that is preferred.
        let mut least = self.identity.unwrap_or(0).max(1);
        for coding in Coding::ALL {
            let quality = self.each[coding.index()];
            if quality >= least && has(coding) {
                best = Some(coding);
                least = quality + 1;
            }
        }
        best
    }
}

/// Whether JSON is preferred to HTML by the lines of an Accept field.
pub(crate) fn prefers_json<'b>(lines: impl Iterator<Item = &'b [u8]>) -> bool {
    // The most precise range decides, whatever its quality (RFC 9110, 12.5.1).
    let (mut html, mut json) = ((0, 0), (0, 0));
    for element in lines.flat_map(elements) {
        let mut parts = parts(element, b';');
        let range = parts.next().unwrap_or_default();
        let Some(quality) = quality(parts) else { continue };
        for (of, kind, name) in [(&mut html, "text", "html"), (&mut json, "application", "json")] {
            let precision = precision(range, kind, name);
            if precision > of.0 {
                *of = (precision, quality);
            }
        }
    }
    json.1 > html.1
}

/// How closely a media range describes a type: 0 for not at all.
fn precision(range: &[u8], kind: &str, name: &str) -> u8 {
    let Some(slash) = range.iter().position(|&byte| byte == b'/') else { return 0 };
    let (left, right) = (&range[..slash], &range[slash + 1..]);
    let (same_kind, same_name) =
        (left.eq_ignore_ascii_case(kind.as_bytes()), right.eq_ignore_ascii_case(name.as_bytes()));
    match (left, right) {
        (b"*", b"*") => 1,
        (_, b"*") if same_kind => 2,
        _ if same_kind && same_name => 3,
        _ => 0,
    }
}

/// The weight among the parameters of an element; 1 if there is none, `None` if it is none that
/// can be read.
fn quality<'b>(mut parameters: impl Iterator<Item = &'b [u8]>) -> Option<Quality> {
    let weight = parameters.find_map(|parameter| match parameter {
        [b'q' | b'Q', b'=', value @ ..] => Some(value),
        _ => None,
    });
    let Some(value) = weight else { return Some(BEST) };
    let (whole, digits) = match value {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] => (whole, digits),
        _ => return None,
    };
    if digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths = (0..3).fold(Quality::from(whole - b'0'), |number, at| {
        number * 10 + Quality::from(digits.get(at).map_or(0, |digit| digit - b'0'))
    });
    (thousandths <= BEST).then_some(thousandths)
}

/// The elements of a list, empty ones left out.
fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    parts(line, b',').filter(|element| !element.is_empty())
}

/// What stands between separators that are not in a quoted string.
fn parts(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return byte == separator && !quoted,
        }
        false
    })
    .map(trim)
}

#[cfg(test)]
mod tests;
