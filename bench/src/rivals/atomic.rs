//! A bare word that the poster counts up and the target looks at: the floor of merged posts. Nobody
//! can sleep on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use ukevent_bench::tables::wake::{Patience, Poster, Posts, Taken, Target};
use ukevent_measure::Result;

#[derive(Clone)]
pub(crate) struct Word(Arc<AtomicU64>);

impl Target for Word {
    const SLEEPS: bool = false;

    type Address = Self;
    type Poster = Self;

    fn new(posts: Posts) -> Result<Self> {
        match posts {
            Posts::Merged => Ok(Self(Arc::default())),
            Posts::Each => Err("a word merges".into()),
        }
    }

    fn address(&self) -> Result<Self> {
        Ok(self.clone())
    }

    fn poster(address: Self) -> Result<Self> {
        Ok(address)
    }

    fn take(&mut self, _patience: Patience, taken: &mut Taken) -> Result<()> {
        if self.0.load(Ordering::Relaxed) > 0 {
            taken.merged(self.0.swap(0, Ordering::AcqRel));
        }
        Ok(())
    }
}

impl Poster for Word {
    #[inline]
    fn post(&mut self, _serial: u64) -> Result<()> {
        self.0.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}
