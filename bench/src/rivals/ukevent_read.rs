//! ukevent's reads: operations of a queue, each into a frame that is one page.

use crate::tables::reads::{IN_FLIGHT, PAGE_BYTES, Reads, Target, is_page};
use std::marker::PhantomData;
use ukevent_bench::contenders::ukevent::Backend;
use ukevent_buf::{Arena, Buffer, FramePool};
use ukevent_measure::Random;
use ukevent_measure::Result;
use ukevent_queue::{Builder, Fd, Key, Kind, Mode, Operation, Queue, Token, Wait, WaitError};

pub(crate) struct UkeventReads<B> {
    queue: Queue,
    file: Key,
    pages: usize,
    /// Those that are not being read into.
    buffers: Vec<Buffer>,
    backend: PhantomData<B>,
}

impl<B: Backend> Reads for UkeventReads<B> {
    /// On a ring the kernel reads; elsewhere up to four threads do.
    const HAS_THREADS: bool = !matches!(B::KIND, ukevent_queue::BackendKind::IoUring);

    fn new(target: &Target) -> Result<Self> {
        let mut queue = Builder::new().backend(B::KIND).build()?;
        // Exact frames of a power of two lie at multiples of it.
        let frames = FramePool::builder(IN_FLIGHT as u32, PAGE_BYTES).exact();
        let pool = frames.clone().build(&Arena::new(frames.arena_bytes())?)?;
        let buffers = (0..IN_FLIGHT).map(|_| Ok(pool.allocate()?)).collect::<Result<_>>()?;
        let source = Fd::new(target.open()?).unwatched();
        let file = queue.register(source, Token(0), Mode::Level)?;
        Ok(Self { queue, file, pages: target.pages, buffers, backend: PhantomData })
    }

    fn read(&mut self, count: usize, random: &mut Random) -> Result<u64> {
        let mut to_start = count;
        let mut to_come = count;
        let mut good = 0;
        while to_come > 0 {
            while let Some(buffer) = self.buffers.pop_if(|_| to_start > 0) {
                // The token is the number of the page.
                let page = random.below(self.pages);
                let offset = (page * PAGE_BYTES) as u64;
                let read = Operation::read(self.file, buffer, offset);
                self.queue.start(read, Token(page as u64))?;
                to_start -= 1;
            }
            match self.queue.wait(Wait::forever()) {
                // The kernel may interrupt a thread that has just closed an io_uring instance.
                Ok(_) | Err(WaitError::Interrupted) => {}
                Err(error) => return Err(error.into()),
            }
            while let Some(event) = self.queue.next_event() {
                let Kind::Completed(done) = event.kind else { continue };
                done.result.map_err(std::io::Error::from)?;
                let mut buffer = done.into_buffer().ok_or("a read without its buffer")?;
                good += u64::from(is_page(&buffer, event.token.0 as usize));
                buffer.clear(0);
                self.buffers.push(buffer);
                to_come -= 1;
            }
        }
        Ok(good)
    }
}
