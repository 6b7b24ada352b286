//! tokio's files: `tokio::fs` as it is documented, and pread(2) in its pool of blocking threads. A task
//! for each read under way, on a runtime of one thread besides that pool.

use crate::tables::reads::{IN_FLIGHT, PAGE_BYTES, Page, Reads, Target, is_page};
use std::io::SeekFrom;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, spawn_blocking};
use ukevent_measure::Random;
use ukevent_measure::Result;

/// A file of its own for each task: it has a place in it.
pub(crate) struct TokioFs {
    runtime: Runtime,
    files: Vec<File>,
    pages: usize,
}

impl Reads for TokioFs {
    const HAS_THREADS: bool = true;

    fn new(target: &Target) -> Result<Self> {
        let runtime = Builder::new_current_thread().build()?;
        let open = || -> Result<File> { Ok(File::from_std(target.open()?)) };
        let files = (0..IN_FLIGHT).map(|_| open()).collect::<Result<_>>()?;
        Ok(Self { runtime, files, pages: target.pages })
    }

    fn read(&mut self, count: usize, random: &mut Random) -> Result<u64> {
        let Self { runtime, files, pages } = self;
        let mut tasks = JoinSet::new();
        for file in files.drain(..) {
            let random = Random::new(random.next());
            let task = read_from(file, *pages, count / IN_FLIGHT, random);
            tasks.spawn_on(task, runtime.handle());
        }
        let mut good = 0;
        while let Some(ended) = runtime.block_on(tasks.join_next()) {
            let (file, of_task) = ended??;
            files.push(file);
            good += of_task;
        }
        Ok(good)
    }
}

async fn read_from(
    mut file: File,
    pages: usize,
    count: usize,
    mut random: Random,
) -> Result<(File, u64)> {
    let mut bytes = Page::new();
    let mut good = 0;
    for _ in 0..count {
        let page = random.below(pages);
        file.seek(SeekFrom::Start((page * PAGE_BYTES) as u64)).await?;
        file.read_exact(&mut bytes.0).await?;
        good += u64::from(is_page(&bytes.0, page));
    }
    Ok((file, good))
}

pub(crate) struct TokioBlocking {
    runtime: Runtime,
    file: Arc<std::fs::File>,
    pages: usize,
}

impl Reads for TokioBlocking {
    const HAS_THREADS: bool = true;

    fn new(target: &Target) -> Result<Self> {
        let runtime = Builder::new_current_thread().build()?;
        Ok(Self { runtime, file: Arc::new(target.open()?), pages: target.pages })
    }

    fn read(&mut self, count: usize, random: &mut Random) -> Result<u64> {
        let mut tasks = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let random = Random::new(random.next());
            let task = read_blocking(self.file.clone(), self.pages, count / IN_FLIGHT, random);
            tasks.spawn_on(task, self.runtime.handle());
        }
        let mut good = 0;
        while let Some(ended) = self.runtime.block_on(tasks.join_next()) {
            good += ended??;
        }
        Ok(good)
    }
}

async fn read_blocking(
    file: Arc<std::fs::File>,
    pages: usize,
    count: usize,
    mut random: Random,
) -> Result<u64> {
    let mut bytes = Page::new();
    let mut good = 0;
    for _ in 0..count {
        let page = random.below(pages);
        let file = file.clone();
        let read = move || {
            let done = file.read_exact_at(&mut bytes.0, (page * PAGE_BYTES) as u64);
            done.map(|()| bytes)
        };
        bytes = spawn_blocking(read).await??;
        good += u64::from(is_page(&bytes.0, page));
    }
    Ok(good)
}
