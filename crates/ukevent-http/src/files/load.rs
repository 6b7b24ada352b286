//! Looks up a path and makes an entity of what is there, at any cost or only if it costs no wait.
//!
//! What the kernel has in memory is had without blocking: the names with `RESOLVE_CACHED`
//! (openat2(2), Linux 5.12), the content with `RWF_NOWAIT` (preadv2(2), Linux 4.14). Where it would
//! have to ask the disk it says so, and the same is done by a thread that may wait.

use super::{
    beside::{self, Beside},
    cache::Identity,
    listing, media_type,
    open::Opener,
};
use crate::{
    entity::{Alternates, Body, Description, Entity, Found},
    limits::SMALL_FILE_BYTES,
    negotiation::Coding,
};
use rustix::{
    fs::{FileType, Stat, fstat, fstatfs},
    io::{Errno, ReadWriteFlags, pread, preadv2},
};
use std::{io::IoSliceMut, os::fd::OwnedFd, sync::Arc};

/// Looked for in a directory.
const INDEX: &[u8] = b"index.html";

/// How long ago, in seconds, a file must have been changed last for its times to identify its
/// content.
const SETTLED_S: i64 = 2;

/// How often a file that changes while it is read is read again.
const ATTEMPTS: u32 = 3;

/// What a path led to.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) found: Found,
    /// Where it lies below the root, and what it was there, if it can be kept.
    pub(super) keep: Option<Keep>,
}

/// How something is kept.
#[derive(Clone, Debug)]
pub(super) struct Keep {
    pub(super) place: Box<[u8]>,
    pub(super) identity: Identity,
    /// What lay beside it, if that was looked for.
    pub(super) beside: Option<Beside>,
    /// To look at it again may take as long as a network does.
    pub(super) is_remote: bool,
}

/// Whether the disk may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as it takes.
    Blocks,
    /// Not at all.
    None,
}

/// Why there is no file.
pub(super) enum Failure {
    Refused(Errno),
    WouldBlock,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

impl From<Found> for Loaded {
    fn from(found: Found) -> Self {
        Self { found, keep: None }
    }
}

/// Looks up what a path names, `unix_s` seconds after 1970. `None` if that would block and must not.
pub(super) fn load(
    opener: &Opener,
    path: &[u8],
    unix_s: u64,
    patience: Patience,
) -> Option<Loaded> {
    let names_directory = path.is_empty() || path.ends_with(b"/");
    let mut place = path.to_vec();
    if names_directory {
        place.extend_from_slice(INDEX);
    }
    for _ in 0..ATTEMPTS {
        let (file, stat) = match open(opener, &place, patience) {
            Ok(found) => found,
            Err(Failure::Refused(errno)) => {
                return absent(opener, path, names_directory, errno, patience).map(Loaded::from);
            }
            Err(Failure::WouldBlock) => return None,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory if !names_directory => return Some(Found::Directory.into()),
            _ => return Some(Found::Forbidden.into()),
        }
        let keep = is_settled(&stat, unix_s).then(|| Keep {
            place: place.as_slice().into(),
            identity: Identity::of(&stat),
            beside: None,
            is_remote: is_remote(&file),
        });
        let look = Look { place: &place, coding: None, unix_s, patience };
        let made = match opener.options.precompressed && beside::may_be(&place) {
            false => describe(look, file, &stat, "").map(|made| Some((made?, keep))),
            true => with_siblings(opener, look, file, &stat, keep),
        };
        return match made {
            Ok(Some((entity, keep))) => {
                Some(Loaded { found: Found::Entity(Arc::new(entity)), keep })
            }
            Ok(None) => continue,
            Err(Failure::Refused(Errno::MFILE | Errno::NFILE)) => Some(Found::Exhausted.into()),
            Err(Failure::Refused(_)) => Some(Found::Failed.into()),
            Err(Failure::WouldBlock) => None,
        };
    }
    Some(Found::Failed.into())
}

/// An entity with those beside it that hold it in a coding. `None` if something changed meanwhile.
fn with_siblings(
    opener: &Opener,
    look: Look<'_>,
    file: OwnedFd,
    stat: &Stat,
    keep: Option<Keep>,
) -> Result<Option<(Entity, Option<Keep>)>, Failure> {
    let siblings = beside::open(opener, look.place, stat, look.patience)?;
    let mut codings = [const { None }; 3];
    let (mut settled, mut remote) = (true, false);
    for (coding, file, stat) in siblings.usable {
        settled &= is_settled(&stat, look.unix_s);
        // A link may lead to another file system.
        remote |= is_remote(&file);
        let look = Look { coding: Some(coding), ..look };
        match describe(look, file, &stat, VARY)? {
            Some(entity) => codings[coding.index()] = Some(Arc::new(entity)),
            None => return Ok(None),
        }
    }
    let varies = codings.iter().any(Option::is_some);
    let Some(entity) = describe(look, file, stat, if varies { VARY } else { "" })? else {
        return Ok(None);
    };
    let entity = if varies { entity.beside(Alternates::Codings(codings)) } else { entity };
    let keep = keep.filter(|_| settled).map(|keep| Keep {
        beside: Some(siblings.seen),
        is_remote: keep.is_remote || remote,
        ..keep
    });
    Ok(Some((entity, keep)))
}

pub(super) fn open(
    opener: &Opener,
    place: &[u8],
    patience: Patience,
) -> Result<(OwnedFd, Stat), Failure> {
    let file = match patience {
        Patience::Blocks => opener.open(place)?,
        Patience::None => opener.open_if_known(place).ok_or(Failure::WouldBlock)??,
    };
    let stat = fstat(&file)?;
    Ok((file, stat))
}

/// What is described, and how.
#[derive(Clone, Copy)]
struct Look<'a> {
    /// Where the file lies, or that which it holds in a coding.
    place: &'a [u8],
    coding: Option<Coding>,
    unix_s: u64,
    patience: Patience,
}

/// What a resource says that has others beside it (RFC 9110, 12.5.5).
const VARY: &str = "Vary: Accept-Encoding\r\n";

/// What to say of a path that could not be opened.
fn absent(
    opener: &Opener,
    path: &[u8],
    names_directory: bool,
    errno: Errno,
    patience: Patience,
) -> Option<Found> {
    Some(match errno {
        Errno::NOENT if names_directory => {
            let is_directory = match patience {
                Patience::Blocks => opener.is_directory(path),
                Patience::None => opener.is_directory_if_known(path)?,
            };
            match (is_directory, patience) {
                (false, _) => Found::Nothing,
                // It is there, but is not listed.
                (true, _) if !opener.options.listing => Found::Forbidden,
                // To read a directory waits for the disk, as long as it is.
                (true, Patience::None) => return None,
                (true, Patience::Blocks) => listing::of(opener, path),
            }
        }
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Found::Nothing,
        // XDEV: the path leads out of the root. LOOP: through links without end. NXIO: to a
        // socket, or to a device that is not there.
        Errno::ACCESS | Errno::PERM | Errno::XDEV | Errno::LOOP | Errno::NXIO | Errno::NODEV => {
            Found::Forbidden
        }
        // AGAIN: directories were renamed underneath, again and again.
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => Found::Exhausted,
        _ => Found::Failed,
    })
}

/// Makes an entity of an open file. `None` if the file changed meanwhile.
fn describe(
    look: Look<'_>,
    file: OwnedFd,
    stat: &Stat,
    extra: &str,
) -> Result<Option<Entity>, Failure> {
    let Look { place, coding, unix_s, patience } = look;
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    let body = if len <= SMALL_FILE_BYTES {
        let content = read(&file, len, patience)?;
        if content.len() as u64 != len || Identity::of(&fstat(&file)?) != Identity::of(stat) {
            return Ok(None);
        }
        Body::Bytes(content.into_boxed_slice())
    } else {
        Body::File(Arc::new(file))
    };
    let settled = is_settled(stat, unix_s);
    let weak = if settled { "" } else { "W/" };
    let Identity { modified, changed, inode, .. } = Identity::of(stat);
    // The time of the last change of the inode, not of the content: the latter can be set back,
    // and then two contents would have one tag. One inode may be linked as what it holds and as its
    // coding: these are told apart by the suffix.
    let suffix = coding.map_or("", Coding::suffix);
    let etag = format!("{weak}\"{:x}.{:x}-{len:x}-{inode:x}{suffix}\"", changed.0, changed.1);
    let description = Description {
        media_type: &media_type::of(place),
        etag: Some(etag),
        // Never later than the Date of the answer (RFC 9110, 8.8.2.1).
        modified_s: u64::try_from(modified.0).ok().map(|modified_s| modified_s.min(unix_s)),
        settled,
        len,
        extra,
    };
    Ok(Some(Entity::coded(description, coding, body)))
}

fn read(file: &OwnedFd, len: u64, patience: Patience) -> Result<Vec<u8>, Failure> {
    let mut content = vec![0; len as usize];
    let mut filled = 0;
    while filled < content.len() {
        let (rest, offset) = (&mut content[filled..], filled as u64);
        let read = match patience {
            Patience::Blocks => pread(file, rest, offset),
            Patience::None => {
                preadv2(file, &mut [IoSliceMut::new(rest)], offset, ReadWriteFlags::NOWAIT)
            }
        };
        match read {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(Errno::INTR) => {}
            // It is not in memory, or the file system cannot say so: who may wait reads it.
            Err(_) if patience == Patience::None => return Err(Failure::WouldBlock),
            Err(errno) => return Err(errno.into()),
        }
    }
    content.truncate(filled);
    Ok(content)
}

/// File systems that ask somebody else for what they are asked, a server or a process, who may be gone:
/// NFS, SMB (three), FUSE, 9p, Ceph, AFS (two), Coda, OCFS2, GFS2, Lustre, GPFS (statfs(2)).
const REMOTE: [u32; 14] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
    0x6b41_4653,
    0x7375_7245,
    0x7461_636f,
    0x0116_1970,
    0x0bd0_0bd0,
    0x4750_4653,
];

/// Whether a stat(2) of a file may block for long. What cannot be told is taken to be local.
pub(super) fn is_remote(file: &OwnedFd) -> bool {
    fstatfs(file).is_ok_and(|system| {
        // Some architectures have it signed, and some wide.
        #[allow(clippy::unnecessary_cast)]
        let kind = system.f_type as u64 & 0xffff_ffff;
        REMOTE.iter().any(|&remote| u64::from(remote) == kind)
    })
}

/// Whether a change after this stat would show in another stat.
fn is_settled(stat: &Stat, unix_s: u64) -> bool {
    let now_s = i64::try_from(unix_s).unwrap_or(i64::MAX);
    let Identity { modified, changed, .. } = Identity::of(stat);
    now_s.saturating_sub(modified.0.max(changed.0)) >= SETTLED_S
}
