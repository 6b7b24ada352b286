//! What only some slots have: found by the slot's index, and packed.
//!
//! A connection has several slots: its descriptor, its timer, what it receives. What a backend keeps of
//! one of them, in a table with a place for each slot, would lie there as often. So the table by slots
//! holds numbers only, and what they name is packed behind it. The places that were left last are taken
//! first: what comes and goes stays in the same few lines of the cache.

/// In the table by slots: there is nothing.
const NOTHING: u32 = u32::MAX;

/// A map by the index of a slot.
pub(crate) struct BySlot<T> {
    /// By slot: where in `packed`.
    places: Vec<u32>,
    packed: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> BySlot<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), packed: Vec::new(), free: Vec::new() }
    }

    /// Whether nothing was ever in it.
    pub(crate) const fn was_never_used(&self) -> bool {
        self.packed.is_empty()
    }

    /// How many slots have had something at the same time, at most.
    pub(crate) const fn most(&self) -> usize {
        self.packed.len()
    }

    /// Says of a slot what it has now, whatever it had before.
    #[inline]
    pub(crate) fn insert(&mut self, slot: u32, value: T) -> &mut T {
        let slot = slot as usize;
        if slot >= self.places.len() {
            self.places.resize(slot + 1, NOTHING);
        }
        let place = &mut self.places[slot];
        if *place == NOTHING {
            *place = self.free.pop().unwrap_or_else(|| {
                self.packed.push(None);
                self.packed.len() as u32 - 1
            });
        }
        self.packed[*place as usize].insert(value)
    }

    #[inline]
    pub(crate) fn find(&self, slot: u32) -> Option<&T> {
        let place = *self.places.get(slot as usize)?;
        self.packed.get(place as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, slot: u32) -> Option<&mut T> {
        let place = *self.places.get(slot as usize)?;
        self.packed.get_mut(place as usize)?.as_mut()
    }

    /// Takes from a slot what it had.
    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let place = std::mem::replace(self.places.get_mut(slot as usize)?, NOTHING);
        let value = self.packed.get_mut(place as usize)?.take();
        self.free.push(place);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::BySlot;
    use std::collections::HashMap;

    /// Against a map of the standard library, with a cheap sequence of indexes that repeats.
    #[test]
    fn as_a_map() {
        let (mut table, mut map) = (BySlot::new(), HashMap::new());
        assert!(table.was_never_used());
        let mut number: u32 = 1;
        for _ in 0..10_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (slot, value) = (number >> 16 & 63, number);
            if number >> 28 < 8 {
                assert_eq!(*table.insert(slot, value), value);
                map.insert(slot, value);
            } else {
                assert_eq!(table.remove(slot), map.remove(&slot));
            }
            assert_eq!(table.find(slot), map.get(&slot));
            assert_eq!(table.find_mut(slot), map.get_mut(&slot));
        }
        assert!(table.packed.len() <= 64, "a place is used again");
        assert_eq!(table.packed.len() - table.free.len(), map.len());
    }
}
