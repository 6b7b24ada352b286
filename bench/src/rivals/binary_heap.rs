//! The standard library's heap with lazy deletion: a cancelled timer stays in it until it comes to the
//! top, or until half of the heap is such ones.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use ukevent_bench::tables::timers::Timers;
use ukevent_measure::Result;
use ukevent_measure::clock::now_ns;

struct Slot {
    generation: u32,
    token: u32,
}

pub(crate) struct LazyHeap {
    /// Deadline, and what to do then.
    heap: BinaryHeap<Reverse<(u64, Id)>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// An index and a generation.
type Id = (u32, u32);

impl LazyHeap {
    fn give_up(&mut self, (index, generation): Id) -> Option<u32> {
        let slot = &mut self.slots[index as usize];
        if slot.generation != generation {
            return None;
        }
        slot.generation = generation.wrapping_add(1);
        self.free.push(index);
        Some(slot.token)
    }
}

impl Timers for LazyHeap {
    type Id = Id;

    fn new(live: usize) -> Result<Self> {
        let heap = BinaryHeap::with_capacity(live);
        Ok(Self { heap, slots: Vec::with_capacity(live), free: Vec::with_capacity(live) })
    }

    fn add(&mut self, token: u32, deadline_ns: u64) -> Result<Id> {
        let id = if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.token = token;
            (index, slot.generation)
        } else {
            self.slots.push(Slot { generation: 0, token });
            (self.slots.len() as u32 - 1, 0)
        };
        self.heap.push(Reverse((deadline_ns, id)));
        Ok(id)
    }

    fn cancel(&mut self, id: Id) -> Result<bool> {
        let cancelled = self.give_up(id).is_some();
        let live = self.slots.len() - self.free.len();
        if self.heap.len() > 2 * live + 64 {
            let slots = &self.slots;
            self.heap.retain(|Reverse((_, (index, generation)))| {
                slots[*index as usize].generation == *generation
            });
        }
        Ok(cancelled)
    }

    fn fire(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        let now_ns = now_ns();
        while let Some(&Reverse((deadline_ns, id))) = self.heap.peek()
            && deadline_ns <= now_ns
        {
            self.heap.pop();
            fired.extend(self.give_up(id));
        }
        Ok(())
    }
}
