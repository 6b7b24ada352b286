//! The bare ring's reads: plain ones, as ukevent makes them, and with file and buffers registered
//! (io_uring_register_buffers(3), io_uring_prep_read_fixed(3)).
#![allow(unsafe_code, reason = "submissions are unsafe to push")]

use super::ring::Ring;
use crate::tables::reads::{IN_FLIGHT, PAGE_BYTES, Page, Reads, Target, is_page};
use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::{Fd, Fixed};
use std::fs::File;
use std::io::Error;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use ukevent_measure::Random;
use ukevent_measure::Result;

/// A way to read.
pub(crate) trait Way {
    fn register(_ring: &Ring, _file: &File, _places: &[Box<Page>]) -> Result<()> {
        Ok(())
    }

    fn entry(file: &File, place: *mut u8, index: usize, offset: u64) -> Entry;
}

pub(crate) struct Plain;

impl Way for Plain {
    fn entry(file: &File, place: *mut u8, _index: usize, offset: u64) -> Entry {
        let file = Fd(file.as_raw_fd());
        opcode::Read::new(file, place, PAGE_BYTES as u32).offset(offset).build()
    }
}

pub(crate) struct Registered;

impl Way for Registered {
    fn register(ring: &Ring, file: &File, places: &[Box<Page>]) -> Result<()> {
        let place = |page: &Page| libc::iovec {
            iov_base: page.0.as_ptr().cast_mut().cast(),
            iov_len: PAGE_BYTES,
        };
        let places: Vec<libc::iovec> = places.iter().map(|it| place(it)).collect();
        // SAFETY: the pages belong to `RingReads`, which keeps them until nothing is under way, or
        // leaks them; the kernel pins them itself.
        unsafe { ring.submitter().register_buffers(&places) }?;
        Ok(ring.submitter().register_files(&[file.as_raw_fd()])?)
    }

    fn entry(_file: &File, place: *mut u8, index: usize, offset: u64) -> Entry {
        let len = PAGE_BYTES as u32;
        opcode::ReadFixed::new(Fixed(0), place, len, index as u16).offset(offset).build()
    }
}

pub(crate) struct RingReads<W> {
    ring: Ring,
    file: File,
    pages: usize,
    /// Where is read to, by index.
    places: Vec<Box<Page>>,
    /// The page that was asked for, by index.
    numbers: [usize; IN_FLIGHT],
    under_way: usize,
    way: PhantomData<W>,
}

impl<W: Way> RingReads<W> {
    fn start(&mut self, index: usize, random: &mut Random) -> Result<()> {
        let number = random.below(self.pages);
        self.numbers[index] = number;
        let place = self.places[index].0.as_mut_ptr();
        let entry = W::entry(&self.file, place, index, (number * PAGE_BYTES) as u64);
        // SAFETY: the page is ours, nothing else is read into it before this completes, and `drop`
        // leaks it if that has not happened.
        unsafe { self.ring.push([entry.user_data(index as u64)]) }?;
        self.under_way += 1;
        Ok(())
    }
}

impl<W: Way> Reads for RingReads<W> {
    const HAS_THREADS: bool = false;

    fn new(target: &Target) -> Result<Self> {
        let (ring, file) = (Ring::new()?, target.open()?);
        let places: Vec<Box<Page>> = (0..IN_FLIGHT).map(|_| Page::new()).collect();
        W::register(&ring, &file, &places)?;
        let (pages, numbers) = (target.pages, [0; IN_FLIGHT]);
        Ok(Self { ring, file, pages, places, numbers, under_way: 0, way: PhantomData })
    }

    fn read(&mut self, count: usize, random: &mut Random) -> Result<u64> {
        let mut to_start = count;
        let mut free: Vec<usize> = (0..IN_FLIGHT).collect();
        let mut good = 0;
        while to_start > 0 || self.under_way > 0 {
            while to_start > 0
                && let Some(index) = free.pop()
            {
                self.start(index, random)?;
                to_start -= 1;
            }
            self.ring.enter(1)?;
            for completion in self.ring.completions() {
                let (index, result) = (completion.user_data() as usize, completion.result());
                self.under_way -= 1;
                if result < 0 {
                    return Err(Error::from_raw_os_error(-result).into());
                }
                let bytes = &self.places[index].0[..result as usize];
                good += u64::from(is_page(bytes, self.numbers[index]));
                free.push(index);
            }
        }
        Ok(good)
    }
}

impl<W> Drop for RingReads<W> {
    fn drop(&mut self) {
        if self.under_way > 0 {
            // The kernel may still write there.
            std::mem::forget(std::mem::take(&mut self.places));
        }
    }
}
