//! The files below a directory.
//!
//! A path is opened below the directory or not at all: see [`open`]. What was opened is described
//! once, as an [`Entity`], and kept: a small file with its content, a larger one with its
//! descriptor. Before a kept entity is served again, its path is looked at with one stat(2), and it
//! is served only if the path still leads to the same inode with the same size and times. So a file
//! that is changed, replaced, renamed over, moved with its directory or made unreadable is served
//! changed, at the next request.
//!
//! Two changes within one tick of the kernel's clock may leave the same times (stat(2) shows
//! nanoseconds, the clock behind them ticks every few milliseconds). Therefore an inode that was
//! changed less than [`SETTLED_S`] ago is not kept, and its entity tag is weak until then.

mod cache;
mod media_type;
mod open;

use crate::{
    counters::Counters,
    entity::{Body, Content, Description, Entity, Found, Seen},
    limits::{CACHED_FILES, SMALL_FILE_BYTES},
};
use cache::{Cache, Identity};
use open::Opener;
use rustix::{
    fs::{AtFlags, FileType, Stat, fstat, statat},
    io::{Errno, pread},
};
use std::{os::fd::OwnedFd, path::Path, sync::Arc};

/// Looked for in a directory.
const INDEX: &[u8] = b"index.html";

/// How long ago, in seconds, a file must have been changed last for its times to identify its
/// content.
const SETTLED_S: i64 = 2;

/// How often a file that changes while it is read is read again.
const ATTEMPTS: u32 = 3;

/// A directory whose files are served. Holds it open: it may be renamed meanwhile.
#[derive(Debug)]
pub(crate) struct Root {
    opener: Opener,
    cache: Cache,
}

impl Root {
    /// Opens the directory.
    pub(crate) fn open(path: &Path) -> Result<Self, Errno> {
        Ok(Self { opener: Opener::new(path)?, cache: Cache::new(CACHED_FILES) })
    }

    /// As [`Root::open`], on a kernel without openat2(2).
    #[cfg(test)]
    pub(crate) fn open_by_walking(path: &Path) -> Result<Self, Errno> {
        Ok(Self { opener: Opener::new(path)?.walking(), cache: Cache::new(CACHED_FILES) })
    }

    fn load(&mut self, path: &[u8], seen: Seen) -> Found {
        let names_directory = path.is_empty() || path.ends_with(b"/");
        let mut place = path.to_vec();
        if names_directory {
            place.extend_from_slice(INDEX);
        }
        for _ in 0..ATTEMPTS {
            let (file, stat) = match self.opener.open(&place).and_then(|file| {
                let stat = fstat(&file)?;
                Ok((file, stat))
            }) {
                Ok(found) => found,
                Err(errno) => return self.absent(path, names_directory, errno),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => {}
                FileType::Directory if !names_directory => return Found::Directory,
                _ => return Found::Forbidden,
            }
            let Some(entity) = describe(&place, file, &stat, seen).transpose() else { continue };
            return match entity {
                Ok(entity) => {
                    let entity = Arc::new(entity);
                    if is_settled(&stat, seen) {
                        self.cache.keep(
                            path,
                            &place,
                            Identity::of(&stat),
                            Arc::clone(&entity),
                            seen,
                        );
                    }
                    Found::Entity(entity)
                }
                Err(_) => Found::Failed,
            };
        }
        Found::Failed
    }

    /// What to say of a path that could not be opened.
    fn absent(&self, path: &[u8], names_directory: bool, errno: Errno) -> Found {
        match errno {
            // A directory without an index is there, but is not listed.
            Errno::NOENT if names_directory && self.opener.is_directory(path) => Found::Forbidden,
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Found::Nothing,
            // XDEV: the path leads out of the root. LOOP: through links without end. NXIO: to a
            // socket, or to a device that is not there.
            Errno::ACCESS
            | Errno::PERM
            | Errno::XDEV
            | Errno::LOOP
            | Errno::NXIO
            | Errno::NODEV => Found::Forbidden,
            // AGAIN: directories were renamed underneath, again and again.
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => Found::Exhausted,
            _ => Found::Failed,
        }
    }
}

impl Content for Root {
    fn find(&mut self, path: &[u8], seen: Seen, _: &Counters) -> Found {
        let root = self.opener.root();
        let look = |place: &std::ffi::CStr| {
            statat(root, place, AtFlags::empty()).ok().map(|stat| Identity::of(&stat))
        };
        if let Some(entity) = self.cache.find(path, seen, look) {
            return Found::Entity(entity);
        }
        match self.load(path, seen) {
            Found::Exhausted if self.let_go() => self.load(path, seen),
            found => found,
        }
    }

    fn let_go(&mut self) -> bool {
        self.cache.drop_files()
    }
}

/// Makes an entity of an open file. `None` if the file changed meanwhile.
fn describe(place: &[u8], file: OwnedFd, stat: &Stat, seen: Seen) -> Result<Option<Entity>, Errno> {
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    let body = if len <= SMALL_FILE_BYTES {
        let content = read(&file, len)?;
        if content.len() as u64 != len || Identity::of(&fstat(&file)?) != Identity::of(stat) {
            return Ok(None);
        }
        Body::Bytes(content.into_boxed_slice())
    } else {
        Body::File(file)
    };
    let settled = is_settled(stat, seen);
    let weak = if settled { "" } else { "W/" };
    let Identity { modified, changed, inode, .. } = Identity::of(stat);
    // The time of the last change of the inode, not of the content: the latter can be set back,
    // and then two contents would have one tag.
    let etag = format!("{weak}\"{:x}.{:x}-{len:x}-{inode:x}\"", changed.0, changed.1);
    let description = Description {
        media_type: &media_type::of(place),
        etag: Some(etag),
        // Never later than the Date of the answer (RFC 9110, 8.8.2.1).
        modified_s: u64::try_from(modified.0).ok().map(|modified_s| modified_s.min(seen.unix_s)),
        settled,
        len,
        extra: "",
    };
    Ok(Some(Entity::new(description, body)))
}

fn read(file: &OwnedFd, len: u64) -> Result<Vec<u8>, Errno> {
    let mut content = vec![0; len as usize];
    let mut filled = 0;
    while filled < content.len() {
        match pread(file, &mut content[filled..], filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    content.truncate(filled);
    Ok(content)
}

/// Whether a change after this stat would show in another stat.
fn is_settled(stat: &Stat, seen: Seen) -> bool {
    let now_s = i64::try_from(seen.unix_s).unwrap_or(i64::MAX);
    let Identity { modified, changed, .. } = Identity::of(stat);
    now_s.saturating_sub(modified.0.max(changed.0)) >= SETTLED_S
}

#[cfg(test)]
mod tests;
