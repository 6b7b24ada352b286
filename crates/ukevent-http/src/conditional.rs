//! Conditional requests (RFC 9110, 13).
//!
//! 13.1.1 If-Match, by strong comparison; 13.1.2 If-None-Match, by weak; 13.1.3 If-Modified-Since and
//! 13.1.4 If-Unmodified-Since, ignored if they stand twice or hold no date; 13.1.5 If-Range, by strong
//! comparison of a tag or the very same date; 13.2.1 only for what would succeed; 13.2.2 their order;
//! 8.8.3 tags and how they compare; 8.8.2.2 when a date is strong.
//!
//! Whether a date is strong the server can judge by half: that nothing changed within its last seconds it
//! sees, that nothing changed twice in the second of the date it does not. The other half is the client's,
//! who may not send a date that he was given within its own second (8.8.2.2). A date before 1970 is no
//! date here: no file is served that is as old.

use crate::{
    date,
    request::{Present, Request, trim},
};

/// What can be compared about the content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'a> {
    /// The entity tag as it stands in the field, if there is one.
    pub(crate) etag: Option<&'a str>,
    /// Last change, in seconds after 1970, if it is known.
    pub(crate) modified_s: Option<u64>,
    /// Whether the last change lies so far back that its second cannot see another: the date is a
    /// strong validator (RFC 9110, 8.8.2.2).
    pub(crate) settled: bool,
}

/// What the conditions make of a GET or HEAD that would succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer it; look at the Range field if `ranged`.
    Proceed { ranged: bool },
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates the conditions of a GET or HEAD.
pub(crate) fn evaluate(request: &Request<'_, '_>, now: Validators<'_>) -> Verdict {
    if request.has(Present::CONDITIONAL) {
        if request.has(Present::IF_MATCH) {
            if !any_matches(request.values(Present::IF_MATCH), now.etag, strong) {
                return Verdict::Failed;
            }
        } else if let (Some(date), Some(modified_s)) =
            (date_of(request, Present::IF_UNMODIFIED_SINCE), now.modified_s)
            && modified_s > date
        {
            return Verdict::Failed;
        }
        if request.has(Present::IF_NONE_MATCH) {
            if any_matches(request.values(Present::IF_NONE_MATCH), now.etag, weak) {
                return Verdict::NotModified;
            }
        } else if let (Some(date), Some(modified_s)) =
            (date_of(request, Present::IF_MODIFIED_SINCE), now.modified_s)
            && modified_s <= date
        {
            return Verdict::NotModified;
        }
    }
    let ranged =
        request.has(Present::RANGE) && (!request.has(Present::IF_RANGE) || if_range(request, now));
    Verdict::Proceed { ranged }
}

/// A field that stands twice or holds no date is ignored (RFC 9110, 13.1.3 and 13.1.4).
fn date_of(request: &Request<'_, '_>, field: Present) -> Option<u64> {
    date::parse(request.value(field)?)
}

/// Whether the part that the client has is a part of what is there now (RFC 9110, 13.1.5).
fn if_range(request: &Request<'_, '_>, now: Validators<'_>) -> bool {
    match (request.value(Present::IF_RANGE), now.etag) {
        (Some(tag @ ([b'"', ..] | [b'W', b'/', ..])), Some(etag)) => strong(tag, etag.as_bytes()),
        (Some(date), _) => {
            now.settled && now.modified_s.is_some() && date::parse(date) == now.modified_s
        }
        (None, _) => false,
    }
}

/// Both are strong and the same (RFC 9110, 8.8.3.2).
fn strong(left: &[u8], right: &[u8]) -> bool {
    left == right && left.starts_with(b"\"")
}

/// The same, weak or not.
fn weak(left: &[u8], right: &[u8]) -> bool {
    left.strip_prefix(b"W/").unwrap_or(left) == right.strip_prefix(b"W/").unwrap_or(right)
}

/// Whether a list of tags has ours, or is `*`. Stops at what is no tag.
fn any_matches<'b>(
    mut lines: impl Iterator<Item = &'b [u8]>,
    etag: Option<&str>,
    same: fn(&[u8], &[u8]) -> bool,
) -> bool {
    lines.any(|line| {
        if line == b"*" {
            return true;
        }
        let Some(etag) = etag else { return false };
        Tags(line).any(|tag| same(tag, etag.as_bytes()))
    })
}

/// The entity tags of a list. A comma may stand inside of one.
struct Tags<'b>(&'b [u8]);

impl<'b> Iterator for Tags<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = trim(self.0);
        while let [b',', tail @ ..] = rest {
            rest = trim(tail);
        }
        let open = if rest.starts_with(b"W/") { 2 } else { 0 };
        let inside = rest.get(open..)?.strip_prefix(b"\"")?;
        let len = inside.iter().position(|&byte| byte == b'"')?;
        let (tag, tail) = rest.split_at(open + len + 2);
        self.0 = trim(tail);
        // What follows a tag is a comma or the end.
        if !self.0.is_empty() && !self.0.starts_with(b",") {
            self.0 = b"";
        }
        Some(tag)
    }
}

#[cfg(test)]
mod tests;
