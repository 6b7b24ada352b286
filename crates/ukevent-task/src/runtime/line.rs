//! The line of tasks to be polled: first come, first polled, and nobody stands in it twice.
//!
//! So it is never longer than there are places, and a ring with room for all of them never fills: to
//! stand in line takes no look at how long it is. The ring grows when a place of a higher number comes.

/// The places of tasks to be polled, each once.
#[derive(Debug)]
pub(super) struct Line {
    /// As many as a power of two, and at least as many as `is_in` has.
    ring: Vec<u32>,
    /// Both count on without end; what is in line lies between them.
    head: usize,
    tail: usize,
    is_in: Vec<bool>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { ring: vec![0; FIRST], head: 0, tail: 0, is_in: vec![false; FIRST] }
    }

    /// Lets the task in this place be polled, once.
    #[inline]
    pub(super) fn push(&mut self, place: u32) {
        if place as usize >= self.is_in.len() {
            self.grow(place as usize + 1);
        }
        if !std::mem::replace(&mut self.is_in[place as usize], true) {
            let mask = self.ring.len() - 1;
            self.ring[self.tail & mask] = place;
            self.tail = self.tail.wrapping_add(1);
        }
    }

    /// Whose turn it is.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let mask = self.ring.len() - 1;
        let place = self.ring[self.head & mask];
        self.head = self.head.wrapping_add(1);
        self.is_in[place as usize] = false;
        Some(place)
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Whether the task in this place is to be polled.
    pub(super) fn contains(&self, place: u32) -> bool {
        self.is_in.get(place as usize).is_some_and(|&is_in| is_in)
    }

    /// Makes room for so many places.
    #[cold]
    fn grow(&mut self, places: usize) {
        let places = places.next_power_of_two();
        let mask = self.ring.len() - 1;
        let length = self.tail.wrapping_sub(self.head);
        let mut ring: Vec<u32> =
            (0..length).map(|at| self.ring[self.head.wrapping_add(at) & mask]).collect();
        ring.resize(places, 0);
        (self.ring, self.head, self.tail) = (ring, 0, length);
        self.is_in.resize(places, false);
    }
}

/// Places that there is room for from the beginning.
const FIRST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Whoever comes, and however often: as a list that is searched.
    #[test]
    fn a_line_is_a_list_in_which_nobody_stands_twice() {
        let mut line = Line::new();
        let mut list = VecDeque::new();
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        let mut places = 1;
        for step in 0..200_000_u32 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if step % 1000 == 0 {
                places += places / 4 + 1;
                places = places.min(3000);
            }
            if random & 1 == 0 || step % 3000 > 2500 {
                assert_eq!(line.pop(), list.pop_front());
            } else {
                let place = (random >> 20) as u32 % places;
                line.push(place);
                if !list.contains(&place) {
                    list.push_back(place);
                }
                assert!(line.contains(place));
            }
            assert_eq!(line.is_empty(), list.is_empty());
        }
    }

    /// A ring that is grown while it is wrapped around keeps its order.
    #[test]
    fn growing_keeps_the_order() {
        for shift in 0..FIRST as u32 {
            let mut line = Line::new();
            for place in 0..shift {
                line.push(place);
                line.pop();
            }
            (0..FIRST as u32).for_each(|place| line.push(place));
            line.push(1000);
            let order: Vec<u32> = std::iter::from_fn(|| line.pop()).collect();
            assert_eq!(order, (0..FIRST as u32).chain([1000]).collect::<Vec<_>>());
            assert!(!line.contains(1000));
        }
    }
}
