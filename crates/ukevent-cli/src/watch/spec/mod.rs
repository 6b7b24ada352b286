//! The words of a spec: `KIND`, `KIND:WHAT` or `KIND:WHAT:WORD,WORD`.
//!
//! Pure: nothing here asks the kernel whether what a spec names exists. A spec is bytes, as paths
//! are; all but the path must be text. A path may contain colons: what follows its last colon is
//! taken for the list of changes unless it contains a slash, and an empty list is the usual one, so
//! a path with colons is written with one more at its end.

mod error;
#[cfg(test)]
mod tests;
mod time;
mod words;

pub(crate) use error::SpecError;
pub(crate) use time::Timing;
pub(crate) use words::Groups;
#[cfg(test)]
pub(crate) use words::known_words;

use jiff::Zoned;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use ukevent::{Changes, ProcessChanges, Signal};
use words::{CHANGES, DEEDS, GROUPS, KINDS, SIGNALS, USUAL, bits};

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    Timer(Timing),
    Inode { path: PathBuf, changes: Changes },
    Tree { path: PathBuf, changes: Changes },
    Signal(Vec<Signal>),
    Process { pid: i32, changes: ProcessChanges },
    Network(Groups),
    Devices,
    Fd(i32),
    Listen(SocketAddr),
}

impl Spec {
    /// Reads one. `now` is what a time of day is the next one after.
    pub(crate) fn parse(words: &OsStr, now: &Zoned) -> Result<Self, SpecError> {
        let whole = words.to_string_lossy();
        let (kind, rest) = split(words.as_bytes());
        let rest = rest.unwrap_or_default();
        let text = String::from_utf8_lossy(rest);
        let (spec, text) = (&*whole, &*text);
        match &*String::from_utf8_lossy(kind) {
            "timer" => time::timing(spec, text, now).map(Self::Timer),
            "inode" => {
                let (path, changes) =
                    inode(spec, rest, "inode:/etc/hosts or inode:.:create,remove")?;
                Ok(Self::Inode { path, changes })
            }
            "tree" => {
                let (path, changes) = inode(spec, rest, "tree:src or tree:src:write")?;
                Ok(Self::Tree { path, changes })
            }
            "signal" => signals(spec, text).map(Self::Signal),
            "proc" => process(spec, text),
            "net" if words.as_bytes() == b"net" => Ok(Self::Network(Groups::all())),
            "net" => bits(spec, text, "part of the network", &GROUPS).map(Self::Network),
            "uevent" if words.as_bytes() == b"uevent" => Ok(Self::Devices),
            "uevent" => Err(SpecError::malformed(spec, text, "part of it", "uevent alone")),
            "fd" => descriptor(spec, text),
            "listen" => listen(spec, text),
            kind => Err(unknown_kind(spec, kind)),
        }
    }

    /// Its first word, which is the `source` of its events.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Timer(_) => "timer",
            Self::Inode { .. } => "inode",
            Self::Tree { .. } => "tree",
            Self::Signal(_) => "signal",
            Self::Process { .. } => "proc",
            Self::Network(_) => "net",
            Self::Devices => "uevent",
            Self::Fd(_) => "fd",
            Self::Listen(_) => "listen",
        }
    }
}

/// What stands before the first colon, and after it.
fn split(words: &[u8]) -> (&[u8], Option<&[u8]>) {
    match words.iter().position(|&byte| byte == b':') {
        Some(colon) => (&words[..colon], Some(&words[colon + 1..])),
        None => (words, None),
    }
}

/// A path is what people forget to say the kind of.
fn unknown_kind(spec: &str, kind: &str) -> SpecError {
    let error = SpecError::unknown(spec, kind, "kind of source", KINDS);
    if spec.contains('/') || spec.starts_with('.') {
        return error.or_tip(|| {
            format!("to watch a file or directory write {:?}", format!("inode:{spec}"))
        });
    }
    error
}

fn inode(spec: &str, rest: &[u8], write: &'static str) -> Result<(PathBuf, Changes), SpecError> {
    let colon = rest.iter().rposition(|&byte| byte == b':');
    let (path, list) = match colon {
        Some(colon) if !rest[colon..].contains(&b'/') => (&rest[..colon], &rest[colon + 1..]),
        _ => (rest, &rest[..0]),
    };
    if path.is_empty() {
        return Err(SpecError::lacks(spec, "its path", write));
    }
    let path = PathBuf::from(OsStr::from_bytes(path));
    if list.is_empty() {
        return Ok((path, USUAL));
    }
    let changes =
        bits(spec, &String::from_utf8_lossy(list), "change", &CHANGES).map_err(|error| {
            error.or_tip(|| format!("if the path ends so, write {:?}", format!("{spec}:")))
        })?;
    Ok((path, changes))
}

fn signals(spec: &str, list: &str) -> Result<Vec<Signal>, SpecError> {
    if list.is_empty() {
        return Err(SpecError::lacks(spec, "its signal", "signal:hup or signal:usr1,usr2"));
    }
    list.split(',')
        .map(|word| {
            Signal::from_name(word)
                .map_err(|error| SpecError::refused(spec, word, &error.to_string(), &SIGNALS))
        })
        .collect()
}

fn process(spec: &str, text: &str) -> Result<Spec, SpecError> {
    let (pid, list) = text.split_once(':').map_or((text, None), |(pid, list)| (pid, Some(list)));
    if pid.is_empty() {
        return Err(SpecError::lacks(spec, "its process id", "proc:1234 or proc:1234:exit,fork"));
    }
    let pid = match pid.parse() {
        Ok(number) if number > 0 => number,
        _ => {
            let write = "a number above 0, such as proc:1234; pgrep NAME finds it";
            return Err(SpecError::malformed(spec, pid, "process id", write));
        }
    };
    let changes = match list {
        Some(list) => bits(spec, list, "deed of a process", &DEEDS)?,
        None => ProcessChanges::EXIT,
    };
    Ok(Spec::Process { pid, changes })
}

fn descriptor(spec: &str, text: &str) -> Result<Spec, SpecError> {
    if text.is_empty() {
        return Err(SpecError::lacks(spec, "its number", "fd:0 for standard input"));
    }
    match text.parse() {
        Ok(number) if number >= 0 => Ok(Spec::Fd(number)),
        _ => {
            let write = "a number that the shell gave it, such as fd:0, or fd:7 with 7<FILE";
            Err(SpecError::malformed(spec, text, "descriptor", write))
        }
    }
}

fn listen(spec: &str, text: &str) -> Result<Spec, SpecError> {
    if text.is_empty() {
        return Err(SpecError::lacks(spec, "its address", "listen:127.0.0.1:9000"));
    }
    text.parse().map(Spec::Listen).map_err(|_| {
        let port = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok());
        let port = port.unwrap_or("9000");
        let write = format!("ADDRESS:PORT, such as listen:127.0.0.1:{port} or listen:[::1]:{port}");
        SpecError::malformed(spec, text, "address to listen on", write)
    })
}
