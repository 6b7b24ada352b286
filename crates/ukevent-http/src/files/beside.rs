//! Files that hold another one in a content coding: `index.html.br` beside `index.html`.
//!
//! RFC 9110, 8.4 and 12.5.3. Somebody compressed them beforehand; here they are found, by their names, and
//! served in the place of the other to whoever accepts the coding. One that was changed last before the
//! other was is out of date and not served. What ends like a coding itself has nothing beside it, so
//! `x.gz` is what it always was.
//!
//! Whether there is one is part of what is kept of a path: its inode and times, or that it is not there. A
//! look at the path looks at all of them, and a watched path is told of by its directory when one appears,
//! so neither costs a system call while nothing happens.

use super::{
    cache::Identity,
    load::{self, Failure, Patience},
    open::Opener,
};
use crate::negotiation::Coding;
use rustix::{
    fs::{AtFlags, FileType, Stat, statat},
    io::Errno,
};
use std::{
    ffi::{CStr, CString},
    os::fd::OwnedFd,
};

/// What was seen beside a file: where, and what there was, usable or not. In the order of [`Coding::ALL`].
#[derive(Clone, Debug)]
pub(super) struct Beside(Box<[(CString, Option<Identity>); 3]>);

impl Beside {
    /// Whether a look at each place shows the same.
    pub(super) fn is_same(&self, mut look: impl FnMut(&CStr) -> Option<Identity>) -> bool {
        self.0.iter().all(|(place, seen)| look(place) == *seen)
    }

    /// Where something was.
    pub(super) fn present(&self) -> impl Iterator<Item = &CStr> {
        self.0.iter().filter(|(_, seen)| seen.is_some()).map(|(place, _)| place.as_c_str())
    }
}

/// What lies beside a file.
pub(super) struct Siblings {
    pub(super) seen: Beside,
    /// Those that may be served.
    pub(super) usable: Vec<(Coding, OwnedFd, Stat)>,
}

/// Whether something may lie beside a file of this name.
pub(super) fn may_be(place: &[u8]) -> bool {
    original(place).is_none()
}

/// What a file of this name would lie beside.
pub(super) fn original(place: &[u8]) -> Option<&[u8]> {
    let suffixes = Coding::ALL.iter().map(|coding| coding.suffix().as_bytes());
    suffixes.filter_map(|suffix| place.strip_suffix(suffix)).next()
}

/// Opens what lies beside the file at a place, which `stat` is of.
pub(super) fn open(
    opener: &Opener,
    place: &[u8],
    stat: &Stat,
    patience: Patience,
) -> Result<Siblings, Failure> {
    let mut usable = Vec::new();
    let mut seen = [const { None }; 3];
    let places = Coding::ALL.map(|coding| [place, coding.suffix().as_bytes()].concat());
    for coding in Coding::ALL {
        let place = &places[coding.index()];
        match load::open(opener, place, patience) {
            Ok((file, its)) => {
                let identity = Identity::of(&its);
                seen[coding.index()] = Some(identity);
                let is_file = FileType::from_raw_mode(its.st_mode) == FileType::RegularFile;
                if is_file && identity.modified >= Identity::of(stat).modified {
                    usable.push((coding, file, its));
                }
            }
            Err(Failure::Refused(Errno::NOENT)) => {}
            Err(Failure::Refused(errno @ (Errno::MFILE | Errno::NFILE))) => {
                return Err(errno.into());
            }
            // It is there and cannot be served: it counts as what a look shows of it.
            Err(Failure::Refused(_)) if patience == Patience::Blocks => {
                let looked = statat(opener.root(), place.as_slice(), AtFlags::empty());
                seen[coding.index()] = looked.ok().map(|stat| Identity::of(&stat));
            }
            Err(_) => return Err(Failure::WouldBlock),
        }
    }
    // A path that was opened has no NUL in it.
    let mut places = places.map(|place| CString::new(place).unwrap_or_default()).into_iter();
    let seen = seen.map(|seen| (places.next().unwrap_or_default(), seen));
    Ok(Siblings { seen: Beside(Box::new(seen)), usable })
}
