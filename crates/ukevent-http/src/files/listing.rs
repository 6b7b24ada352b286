//! Reads a directory, to list it. Waits for the disk.
//!
//! Only what would be served is listed: files and directories whose names do not begin with a dot, and
//! links to such that do not lead out of the root. At most [`LISTED`] of them, and no more than
//! [`LOOKED_AT`] names are looked at to find these, so a directory of millions takes no longer than one of
//! thousands. What it looks like is [another matter](crate::listing).
//!
//! A list is not kept: the sizes in it change without a word of the directory. A long one goes to a file
//! in memory (memfd_create(2), Linux 3.17), so that it leaves as large files do.

use super::open::Opener;
use crate::{
    entity::{Alternates, Body, Description, Entity, Found},
    limits::SMALL_FILE_BYTES,
    listing::{Entry, Listing},
};
use rustix::{
    fs::{AtFlags, Dir, FileType, MemfdFlags, Stat, fstat, memfd_create, statat},
    io::{Errno, write},
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

/// Entries of a list, at most.
const LISTED: usize = 4096;

/// Names that are looked at for it, at most.
const LOOKED_AT: usize = 4 * LISTED;

/// Of both forms: which it is depends on Accept, and that it must be asked for anew.
const COMMON: &str = "Vary: Accept\r\nCache-Control: no-cache\r\n";

/// Nothing is loaded, run or framed; its style stands in it.
const POLICY: &str = "Content-Security-Policy: default-src 'none'; \
    style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n";

/// The list of the directory at a path, which ends with a slash or is empty.
pub(super) fn of(opener: &Opener, path: &[u8]) -> Found {
    match read(opener, path).and_then(|listing| entity(&listing)) {
        Ok(entity) => Found::Entity(Arc::new(entity)),
        Err(Errno::NOENT | Errno::NOTDIR) => Found::Nothing,
        Err(Errno::ACCESS | Errno::PERM) => Found::Forbidden,
        Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Found::Exhausted,
        Err(_) => Found::Failed,
    }
}

fn read(opener: &Opener, path: &[u8]) -> Result<Listing, Errno> {
    let directory = opener.open_directory(path)?;
    let mut listing = Listing::new(path);
    for (looked, entry) in Dir::read_from(&directory)?.enumerate() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        // What is hidden counts as looked at: there may be millions of it.
        let is_hidden = name.starts_with(b".");
        if looked >= LOOKED_AT || (listing.entries.len() >= LISTED && !is_hidden) {
            listing.is_cut_short = true;
            break;
        }
        if is_hidden {
            continue;
        }
        let Some(stat) = look(opener, directory.as_fd(), path, name) else { continue };
        let is_directory = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => continue,
        };
        // The types of these fields differ between architectures.
        #[allow(clippy::unnecessary_cast)]
        let (size, modified_s) = (stat.st_size as i64, stat.st_mtime as i64);
        listing.entries.push(Entry {
            name: name.into(),
            is_directory,
            size: u64::try_from(size).unwrap_or(0),
            modified_s,
        });
    }
    listing.sort();
    Ok(listing)
}

/// What a name leads to, if it is below the root.
fn look(opener: &Opener, directory: BorrowedFd<'_>, path: &[u8], name: &[u8]) -> Option<Stat> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Some(stat);
    }
    let place = opener.place(&[path, name].concat()).ok()?;
    fstat(&place).ok()
}

fn entity(listing: &Listing) -> Result<Entity, Errno> {
    let html = [COMMON, POLICY].concat();
    let json = text(listing.json(), "application/json", COMMON)?;
    let html = text(listing.html(), "text/html; charset=utf-8", &html)?;
    Ok(html.beside(Alternates::Json(Arc::new(json))))
}

fn text(content: Vec<u8>, media_type: &str, extra: &str) -> Result<Entity, Errno> {
    let len = content.len() as u64;
    let description =
        Description { media_type, etag: None, modified_s: None, settled: false, len, extra };
    let body = match len {
        0..=SMALL_FILE_BYTES => Body::Bytes(content.into_boxed_slice()),
        _ => Body::File(Arc::new(in_memory(&content)?)),
    };
    Ok(Entity::new(description, body))
}

fn in_memory(content: &[u8]) -> Result<OwnedFd, Errno> {
    let file = memfd_create(c"listing", MemfdFlags::CLOEXEC)?;
    let mut left = content;
    while !left.is_empty() {
        match write(&file, left) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => left = &left[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(file)
}
