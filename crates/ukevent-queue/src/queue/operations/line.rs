//! The operations of a descriptor that take turns, in their order.
//!
//! As a rule there is one at a time, and it needs no memory of its own. Whoever once started several has
//! room for them from then on.

use crate::key::Key;
use std::collections::VecDeque;

/// A line. The first is at work; those behind it wait.
pub(super) struct Line {
    /// [`Key::NONE`] if there is nobody.
    first: Key,
    #[expect(clippy::box_collection, reason = "as a rule there is none, and there are many lines")]
    behind: Option<Box<VecDeque<Key>>>,
}

impl Default for Line {
    fn default() -> Self {
        Self { first: Key::NONE, behind: None }
    }
}

impl Line {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first == Key::NONE
    }

    #[inline]
    pub(super) fn first(&self) -> Option<Key> {
        (!self.is_empty()).then_some(self.first)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Key> {
        self.first().into_iter().chain(self.behind.iter().flat_map(|it| it.iter().copied()))
    }

    /// Puts one behind all others.
    #[inline]
    pub(super) fn push(&mut self, key: Key) {
        if self.is_empty() {
            self.first = key;
        } else {
            self.behind.get_or_insert_default().push_back(key);
        }
    }

    /// Lets the first go, and says who is first then.
    #[inline]
    pub(super) fn advance(&mut self) -> Option<Key> {
        let next = self.behind.as_mut().and_then(|behind| behind.pop_front());
        self.first = next.unwrap_or(Key::NONE);
        next
    }

    /// Takes one out that has not had its turn.
    pub(super) fn leave(&mut self, key: Key) {
        if let Some(behind) = &mut self.behind {
            behind.retain(|other| *other != key);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
