//! The media type of a file, by the end of its name (RFC 9110, 8.3).

use std::borrow::Cow;

/// The Content-Type of the file at `path`. Text is said to be UTF-8, as everything is by now; what
/// has no known name is said to be bytes.
pub(super) fn of(path: &[u8]) -> Cow<'static, str> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    // A name that only begins with a dot has no end of this kind.
    let end = name.iter().rposition(|&byte| byte == b'.').filter(|&at| at > 0);
    let found = end
        .and_then(|at| std::str::from_utf8(&name[at + 1..]).ok())
        .and_then(|end| mime_guess::from_ext(end).first_raw());
    match found {
        Some(text) if text.starts_with("text/") || text == "application/javascript" => {
            Cow::Owned(format!("{text}; charset=utf-8"))
        }
        Some(other) => Cow::Borrowed(other),
        None => Cow::Borrowed("application/octet-stream"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn by_the_end_of_the_name() {
        for (path, media_type) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.b/style.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("data.json", "application/json"),
            ("logo.svg", "image/svg+xml"),
            ("module.wasm", "application/wasm"),
            ("notes.txt", "text/plain; charset=utf-8"),
            ("README", "application/octet-stream"),
            ("dir.html/README", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("archive.tar.gz", "application/gzip"),
            ("what.is-this", "application/octet-stream"),
            ("dot.", "application/octet-stream"),
        ] {
            assert_eq!(super::of(path.as_bytes()), media_type, "{path}");
        }
        assert_eq!(super::of(b"\xff.\xff"), "application/octet-stream");
    }
}
