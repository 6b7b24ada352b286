//! Makes a path of a request target, or refuses it.
//!
//! RFC 9112: 3.2.1 to 3.2.4 the four forms (authority-form is CONNECT's, which is answered before). RFC
//! 9110: 4.2.1 to 4.2.4 http and https, empty hosts and users; 7.4 what is for somebody else. RFC 3986,
//! 5.2.4 and 6.2.2: percent escapes are decoded, dot segments removed,
//! repeated slashes merged. The outcome is a relative path without `.`, `..` and empty segments,
//! and never leads above the root; that no symbolic link does is for `files` to see to.
//!
//! Refused as misdirected: `https`, which is answered only over a connection that is secured for it
//! (RFC 9110, 7.4); nobody who ends TLS before this server asks in that form. Refused as malformed: a host
//! that is none or empty, a user, another scheme, a bad escape, a NUL, a fragment, a `..` above the root. Refused as
//! naming nothing: an escaped slash (no file has one in its name, and readers differ about it), and
//! a segment that begins with a dot, except `.well-known` (RFC 8615) at the root: what is hidden on
//! the disk stays hidden.

use crate::request::{is_host, split_port};

/// A target that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'b> {
    /// `*`, the server itself. Only OPTIONS may say it.
    Asterisk,
    /// A path, now in the buffer, and what stood behind the question mark.
    Path { query: Option<&'b str> },
}

/// Why a target is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// 400.
    Malformed,
    /// 404.
    Nothing,
    /// 421.
    Misdirected,
}

/// Puts the path of `target` into `path`: without a slash at its beginning, with one at its end if
/// it names a directory, and empty for the root.
pub(crate) fn resolve<'b>(target: &'b str, path: &mut Vec<u8>) -> Result<Target<'b>, Refused> {
    resolve_over(false, target, path)
}

/// The same over a connection that may be secured by TLS.
pub(crate) fn resolve_over<'b>(
    is_secured: bool,
    target: &'b str,
    path: &mut Vec<u8>,
) -> Result<Target<'b>, Refused> {
    path.clear();
    if target == "*" {
        return Ok(Target::Asterisk);
    }
    let target =
        if target.starts_with('/') { target } else { after_authority(is_secured, target)? };
    if target.contains('#') {
        return Err(Refused::Malformed);
    }
    let (raw, query) = match target.split_once('?') {
        Some((raw, query)) => (raw, Some(query)),
        None => (target, None),
    };
    normalise(raw.as_bytes(), path)?;
    match is_hidden(path) {
        true => Err(Refused::Nothing),
        false => Ok(Target::Path { query }),
    }
}

/// The path and query of an absolute-form target. Its host replaces that of the Host field, and a
/// server of one site ignores both.
fn after_authority(is_secured: bool, target: &str) -> Result<&str, Refused> {
    let (scheme, rest) = target.split_once("://").ok_or(Refused::Malformed)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let is_secure = scheme.eq_ignore_ascii_case("https");
    let known = is_secure || scheme.eq_ignore_ascii_case("http");
    let (host, _) = split_port(authority.as_bytes());
    // No user before the host (RFC 9110, 4.2.4): is_host refuses the at sign.
    if !known || host.is_empty() || !is_host(authority.as_bytes()) {
        return Err(Refused::Malformed);
    }
    if is_secure && !is_secured { Err(Refused::Misdirected) } else { Ok(rest) }
}

/// An empty path is the root's (RFC 9110, 4.2.3). What comes out has no NUL in it, escaped or not: the
/// kernel would take what stands before it for the whole.
fn normalise(raw: &[u8], path: &mut Vec<u8>) -> Result<(), Refused> {
    if raw.contains(&0) {
        return Err(Refused::Malformed);
    }
    let below = raw.strip_prefix(b"/").unwrap_or(raw);
    let mut segments = below.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let start = path.len();
        decode(segment, path)?;
        match &path[start..] {
            b"" | b"." => path.truncate(start),
            b".." => {
                path.truncate(start);
                let parent = path.pop().ok_or(Refused::Malformed)?;
                debug_assert_eq!(parent, b'/', "every segment before the last ends with a slash");
                let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
                path.truncate(start);
            }
            _ if is_last => {}
            _ => path.push(b'/'),
        }
    }
    Ok(())
}

fn decode(segment: &[u8], path: &mut Vec<u8>) -> Result<(), Refused> {
    let Some(first) = segment.iter().position(|&byte| byte == b'%') else {
        path.extend_from_slice(segment);
        return Ok(());
    };
    path.extend_from_slice(&segment[..first]);
    let mut rest = &segment[first..];
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(Refused::Malformed);
                ((digit(*high)? << 4 | digit(*low)?) as u8, tail)
            }
            (b'%', _) => return Err(Refused::Malformed),
            (byte, tail) => (*byte, tail),
        };
        match byte {
            0 => return Err(Refused::Malformed),
            b'/' => return Err(Refused::Nothing),
            _ => path.push(byte),
        }
        rest = tail;
    }
    Ok(())
}

fn is_hidden(path: &[u8]) -> bool {
    let mut segments = path.split(|&byte| byte == b'/');
    let first = segments.next().unwrap_or_default();
    (first.starts_with(b".") && first != b".well-known")
        || segments.any(|segment| segment.starts_with(b"."))
}

/// Writes a path as it must stand in a Location: a slash, and escapes wherever RFC 3986 wants them.
pub(crate) fn encode(path: &[u8], out: &mut Vec<u8>) {
    out.push(b'/');
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            out.push(byte);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests;
