//! ukevent's inodes: one registration, for a directory or for a tree.

use super::ukevent::Backend;
use crate::tables::inode::{Reach, Told, Watches};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use ukevent_measure::Result;
use ukevent_queue::{Builder, Changes, Inode, Kind, Mode, Queue, Token, Wait, WaitError};

/// A queue in which it is all there is.
#[derive(Debug)]
pub struct UkeventInode<B> {
    queue: Queue,
    backend: PhantomData<B>,
}

impl<B: Backend> Watches for UkeventInode<B> {
    fn new(root: &Path, reach: Reach, _told: &Arc<Told>) -> Result<Self> {
        let mut queue = Builder::new().backend(B::KIND).build()?;
        let source = match reach {
            Reach::Directory => Inode::path(root),
            Reach::Tree | Reach::Growing => Inode::tree(root),
        };
        queue.register(source.on(Changes::CREATED), Token(0), Mode::Level)?;
        Ok(Self { queue, backend: PhantomData })
    }

    fn take(&mut self, told: &Told) -> Result<()> {
        match self.queue.wait(Wait::forever()) {
            // The kernel may interrupt a thread that has just closed an io_uring instance.
            Ok(_) | Err(WaitError::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(event) = self.queue.next_event() {
            match event.kind {
                Kind::Inode(change) => told.note(&change.name),
                other => return Err(format!("not of an entry: {other:?}").into()),
            }
        }
        Ok(())
    }
}
