//! Threads that read one page after the other: pread(2).

use crate::tables::reads::{PAGE_BYTES, Page, Reads, Target, is_page};
use std::fs::File;
use std::os::unix::fs::FileExt;
use ukevent_measure::Random;
use ukevent_measure::Result;

/// On so many threads, which begin with the reading.
pub(crate) struct Preads<const THREADS: usize> {
    file: File,
    pages: usize,
}

impl<const THREADS: usize> Reads for Preads<THREADS> {
    const HAS_THREADS: bool = true;

    fn new(target: &Target) -> Result<Self> {
        Ok(Self { file: target.open()?, pages: target.pages })
    }

    fn read(&mut self, count: usize, random: &mut Random) -> Result<u64> {
        let (file, pages) = (&self.file, self.pages);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let mut random = Random::new(random.next());
                    scope.spawn(move || read(file, pages, count / THREADS, &mut random))
                })
                .collect();
            let join = |it: std::thread::ScopedJoinHandle<'_, Result<u64>>| {
                it.join().map_err(|_| "a thread panicked")?
            };
            threads.into_iter().map(join).sum()
        })
    }
}

fn read(file: &File, pages: usize, count: usize, random: &mut Random) -> Result<u64> {
    let mut bytes = Page::new();
    let mut good = 0;
    for _ in 0..count {
        let page = random.below(pages);
        file.read_exact_at(&mut bytes.0, (page * PAGE_BYTES) as u64)?;
        good += u64::from(is_page(&bytes.0, page));
    }
    Ok(good)
}
