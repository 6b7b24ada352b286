//! A heap in which every timer knows its place, so that a cancelled one is taken out at once: what
//! libuv and many event loops have.

use ukevent_bench::tables::timers::Timers;
use ukevent_measure::Result;
use ukevent_measure::clock::now_ns;

struct Node {
    deadline_ns: u64,
    slot: u32,
}

struct Slot {
    token: u32,
    generation: u32,
    /// Its place in the heap; in a free slot, nowhere.
    place: u32,
}

const NOWHERE: u32 = u32::MAX;

pub(crate) struct IndexedHeap {
    nodes: Vec<Node>,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// An index and a generation.
type Id = (u32, u32);

impl IndexedHeap {
    fn put(&mut self, place: usize, node: Node) {
        self.slots[node.slot as usize].place = place as u32;
        self.nodes[place] = node;
    }

    /// Moves the nodes between `place` and where `node` belongs, and puts it there.
    fn sift(&mut self, mut place: usize, node: Node) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.nodes[parent].deadline_ns <= node.deadline_ns {
                break;
            }
            let above = Node { ..self.nodes[parent] };
            self.put(place, above);
            place = parent;
        }
        loop {
            let left = 2 * place + 1;
            if left >= self.nodes.len() {
                break;
            }
            let right = left + 1;
            let is_right = right < self.nodes.len()
                && self.nodes[right].deadline_ns < self.nodes[left].deadline_ns;
            let least = if is_right { right } else { left };
            if self.nodes[least].deadline_ns >= node.deadline_ns {
                break;
            }
            let below = Node { ..self.nodes[least] };
            self.put(place, below);
            place = least;
        }
        self.put(place, node);
    }

    /// Takes out the node at a place and returns the token of its timer.
    fn take_out(&mut self, place: usize) -> u32 {
        let node = self.nodes.swap_remove(place);
        if place < self.nodes.len() {
            let last = Node { ..self.nodes[place] };
            self.sift(place, last);
        }
        let slot = &mut self.slots[node.slot as usize];
        slot.place = NOWHERE;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(node.slot);
        slot.token
    }
}

impl Timers for IndexedHeap {
    type Id = Id;

    fn new(live: usize) -> Result<Self> {
        let (nodes, slots) = (Vec::with_capacity(live), Vec::with_capacity(live));
        Ok(Self { nodes, slots, free: Vec::with_capacity(live) })
    }

    fn add(&mut self, token: u32, deadline_ns: u64) -> Result<Id> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { token: 0, generation: 0, place: NOWHERE });
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize].token = token;
        self.nodes.push(Node { deadline_ns, slot });
        self.sift(self.nodes.len() - 1, Node { deadline_ns, slot });
        Ok((slot, self.slots[slot as usize].generation))
    }

    fn cancel(&mut self, (slot, generation): Id) -> Result<bool> {
        let Slot { generation: current, place, .. } = self.slots[slot as usize];
        let is_live = current == generation && place != NOWHERE;
        if is_live {
            self.take_out(place as usize);
        }
        Ok(is_live)
    }

    fn fire(&mut self, fired: &mut Vec<u32>) -> Result<()> {
        let now_ns = now_ns();
        while self.nodes.first().is_some_and(|first| first.deadline_ns <= now_ns) {
            fired.push(self.take_out(0));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::IndexedHeap;
    use ukevent_bench::tables::timers::Timers;

    #[test]
    fn fires_what_is_due_in_order_and_not_what_was_cancelled() {
        let mut heap = IndexedHeap::new(8).unwrap();
        let ids: Vec<_> =
            [5, 3, 9, 1, 7].into_iter().map(|at| heap.add(at as u32, at).unwrap()).collect();
        assert!(heap.cancel(ids[1]).unwrap());
        assert!(!heap.cancel(ids[1]).unwrap());
        heap.add(2, u64::MAX).unwrap();
        let mut fired = Vec::new();
        heap.fire(&mut fired).unwrap();
        assert_eq!(fired, [1, 5, 7, 9]);
    }
}
