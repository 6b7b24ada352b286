//! Files, directories and trees that are watched (inotify(7)).

use crate::events::Events;
use crate::observed::Observed;
use crate::runtime::current;
use std::path::PathBuf;
use ukevent_queue::{Inode, InodeChange, Kind, RegisterError};

/// Watches what a path names, and tells what changes. Dropping it ends the watch.
///
/// ```
/// use ukevent_queue::Changes;
/// use ukevent_task::{Observed, block_on, fs, watch::Watch};
///
/// let folder = std::env::temp_dir().join(format!("watch-{}", std::process::id()));
/// std::fs::create_dir(&folder)?;
/// block_on(async {
///     let mut watch = Watch::tree(&folder)?;
///     fs::write(folder.join("note"), b"hello".to_vec()).await?;
///     loop {
///         match watch.next().await {
///             Observed::Change(change) if change.changes.contains(Changes::WRITTEN) => {
///                 assert_eq!(change.name.to_str(), Some("note"));
///                 return Ok::<(), std::io::Error>(());
///             }
///             Observed::Change(_) => {}
///             Observed::Rescan => println!("read the whole folder again"),
///             Observed::Failed(errno) => return Err(errno.into()),
///         }
///     }
/// })??;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Watch {
    events: Events,
}

impl Watch {
    /// Watches a file, or a directory and its entries, from now on.
    ///
    /// # Errors
    /// [`RegisterError`]: `ENOENT`, `EACCES`, `ENOSPC` (`fs.inotify.max_user_watches`).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn path(path: impl Into<PathBuf>) -> Result<Self, RegisterError> {
        Self::of(Inode::path(path))
    }

    /// Watches a directory with everything below it, whatever comes to be there.
    ///
    /// # Errors
    /// As [`Watch::path`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn tree(path: impl Into<PathBuf>) -> Result<Self, RegisterError> {
        Self::of(Inode::tree(path))
    }

    /// The same with a choice of changes ([`Inode::on`]).
    ///
    /// # Errors
    /// As [`Watch::path`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn of(inode: Inode) -> Result<Self, RegisterError> {
        let events = Events::on(current::expect("Watch::of"), inode, "a change of an inode")?;
        Ok(Self { events })
    }

    /// Waits for the next change, in the order in which they were made. Nothing is lost if it is dropped.
    pub async fn next(&mut self) -> Observed<InodeChange> {
        loop {
            match self.events.next().await {
                Kind::Inode(change) => return Observed::Change(*change),
                Kind::Rescan => return Observed::Rescan,
                Kind::Failed(errno) => return Observed::Failed(errno),
                _ => {}
            }
        }
    }
}
