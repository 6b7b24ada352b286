//! A bare list of slots: the floor of what any keeping of timers costs.
//!
//! It knows no order and is told what is due when; a timer is a slot taken, found by its index, and
//! given up.

use ukevent_bench::tables::timers::Timers;
use ukevent_measure::Result;
use ukevent_measure::clock::now_ns;

/// The size of ukevent's slot.
#[repr(align(64))]
struct Slot {
    deadline_ns: u64,
    token: u32,
    generation: u32,
    next_free: u32,
}

const NONE: u32 = u32::MAX;

pub(crate) struct BareSlots {
    slots: Vec<Slot>,
    free: u32,
    /// What will be due, the earliest last.
    due: Vec<(u64, Id)>,
}

/// An index and a generation.
type Id = (u32, u32);

impl BareSlots {
    #[inline]
    fn give_up(&mut self, (index, generation): Id) -> Option<u32> {
        let slot = &mut self.slots[index as usize];
        if slot.generation != generation {
            return None;
        }
        slot.generation = generation.wrapping_add(1);
        slot.next_free = self.free;
        self.free = index;
        Some(slot.token)
    }
}

impl Timers for BareSlots {
    type Id = Id;

    fn new(_live: usize) -> Result<Self> {
        Ok(Self { slots: Vec::new(), free: NONE, due: Vec::new() })
    }

    #[inline]
    fn add(&mut self, token: u32, deadline_ns: u64) -> Result<Id> {
        let index = self.free;
        if index == NONE {
            self.slots.push(Slot { deadline_ns, token, generation: 0, next_free: NONE });
            return Ok((self.slots.len() as u32 - 1, 0));
        }
        let slot = &mut self.slots[index as usize];
        self.free = slot.next_free;
        slot.deadline_ns = deadline_ns;
        slot.token = token;
        Ok((index, slot.generation))
    }

    #[inline]
    fn cancel(&mut self, id: Id) -> Result<bool> {
        Ok(self.give_up(id).is_some())
    }

    fn told(&mut self, due: &[(u64, Id)]) {
        self.due.extend(due.iter().rev());
    }

    fn fire(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        let now_ns = now_ns();
        while let Some(&(deadline_ns, id)) = self.due.last()
            && deadline_ns <= now_ns
        {
            self.due.pop();
            fired.extend(self.give_up(id));
        }
        Ok(())
    }
}
