//! The standard library's B-tree by deadline: what smol's async-io has.

use std::collections::BTreeMap;
use ukevent_bench::tables::timers::Timers;
use ukevent_measure::Result;
use ukevent_measure::clock::now_ns;

pub(crate) struct Tree {
    tokens: BTreeMap<Id, u32>,
    next: u64,
}

/// A deadline, and a number that no other timer has.
type Id = (u64, u64);

impl Timers for Tree {
    type Id = Id;

    fn new(_live: usize) -> Result<Self> {
        Ok(Self { tokens: BTreeMap::new(), next: 0 })
    }

    fn add(&mut self, token: u32, deadline_ns: u64) -> Result<Id> {
        let id = (deadline_ns, self.next);
        self.next += 1;
        self.tokens.insert(id, token);
        Ok(id)
    }

    fn cancel(&mut self, id: Id) -> Result<bool> {
        Ok(self.tokens.remove(&id).is_some())
    }

    fn fire(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        let now_ns = now_ns();
        while let Some(first) = self.tokens.first_entry()
            && first.key().0 <= now_ns
        {
            fired.push(first.remove());
        }
        Ok(())
    }
}
