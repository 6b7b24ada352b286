//! What the list of a directory looks like: a page for people, JSON for programs.
//!
//! The page has no script, loads nothing and follows the reader's light or dark. Names are foreign: in the
//! page they are escaped as text (HTML, 13.1) and as references (RFC 3986, 2.1), each relative to the
//! directory with `./` before it, so that no name is taken for a scheme or another host. A name that is
//! not UTF-8 is shown with U+FFFD for what cannot be read; its reference has the bytes.
//!
//! Pure: `files` reads the directory.

use crate::target;
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Box<[u8]>,
    pub(crate) is_directory: bool,
    /// Bytes; of a directory it says nothing.
    pub(crate) size: u64,
    /// Seconds after 1970.
    pub(crate) modified_s: i64,
}

/// A directory.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// The path below the root: empty, or with a slash at its end.
    path: Box<[u8]>,
    pub(crate) entries: Vec<Entry>,
    /// Whether there may be more.
    pub(crate) is_cut_short: bool,
}

const STYLE: &str = ":root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}\
table{border-collapse:collapse;width:100%}\
th,td{padding:.2rem .8rem .2rem 0;text-align:left;font-weight:normal}\
th{opacity:.6}td+td,th+th{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
a{text-decoration:none;overflow-wrap:anywhere}a:hover{text-decoration:underline}";

impl Listing {
    pub(crate) fn new(path: &[u8]) -> Self {
        Self { path: path.into(), entries: Vec::new(), is_cut_short: false }
    }

    /// Directories first, then by name, byte by byte.
    pub(crate) fn sort(&mut self) {
        self.entries.sort_unstable_by(|one, other| {
            (!one.is_directory, &one.name).cmp(&(!other.is_directory, &other.name))
        });
    }

    /// The page.
    pub(crate) fn html(&self) -> Vec<u8> {
        let title = escaped(&self.title());
        let mut out = String::with_capacity(1024 + 256 * self.entries.len());
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.push_str(part));
        put(&["<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"]);
        put(&["<meta name=\"viewport\" content=\"width=device-width\">\n"]);
        put(&["<title>", &title, "</title>\n<style>", STYLE, "</style>\n"]);
        put(&["<h1>", &title, "</h1>\n<table>\n<tr><th>Name<th>Size<th>Changed, UTC\n"]);
        if !self.path.is_empty() {
            put(&["<tr><td><a href=\"../\">../</a><td><td>\n"]);
        }
        for entry in &self.entries {
            let slash = if entry.is_directory { "/" } else { "" };
            let name = escaped(&String::from_utf8_lossy(&entry.name));
            put(&["<tr><td><a href=\"", &escaped(&entry.reference()), "\">", &name, slash, "</a>"]);
            let size = if entry.is_directory { String::new() } else { entry.size.to_string() };
            put(&["<td>", &size, "<td>", &entry.modified("%Y-%m-%d %H:%M"), "\n"]);
        }
        put(&["</table>\n"]);
        if self.is_cut_short {
            put(&["<p>There is more than is shown here.\n"]);
        }
        out.into_bytes()
    }

    /// The same for programs:
    /// `{"path":"/d/","complete":true,"entries":[{"name":…,"href":…,"type":"file","size":…,"modified":…}]}`.
    pub(crate) fn json(&self) -> Vec<u8> {
        let mut out = serde_json::to_vec(self).unwrap_or_default();
        out.push(b'\n');
        out
    }

    fn title(&self) -> String {
        format!("/{}", String::from_utf8_lossy(&self.path))
    }
}

impl Entry {
    /// The reference to it from the page of its directory.
    fn reference(&self) -> String {
        let mut reference = b".".to_vec();
        target::encode(&self.name, &mut reference);
        if self.is_directory {
            reference.push(b'/');
        }
        // It is ASCII: everything else is escaped.
        String::from_utf8_lossy(&reference).into_owned()
    }

    fn modified(&self, format: &str) -> String {
        let time = jiff::Timestamp::from_second(self.modified_s);
        time.map_or_else(|_| String::new(), |time| time.strftime(format).to_string())
    }
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Listing", 3)?;
        object.serialize_field("path", &self.title())?;
        object.serialize_field("complete", &!self.is_cut_short)?;
        object.serialize_field("entries", &self.entries)?;
        object.end()
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Entry", 5)?;
        object.serialize_field("name", &String::from_utf8_lossy(&self.name))?;
        object.serialize_field("href", &self.reference())?;
        object.serialize_field("type", if self.is_directory { "directory" } else { "file" })?;
        if self.is_directory {
            object.skip_field("size")?;
        } else {
            object.serialize_field("size", &self.size)?;
        }
        object.serialize_field("modified", &self.modified("%Y-%m-%dT%H:%M:%SZ"))?;
        object.end()
    }
}

/// Text as it may stand in HTML, in quotes too.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests;
