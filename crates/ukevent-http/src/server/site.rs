//! What is served: files, or the page.

use crate::{
    counters::Counts,
    entity::{Content, Found, Seen},
    files::{Reports, Root},
    page::Page,
};
use ukevent_queue::Kind;

/// What is served.
#[derive(Debug)]
pub(crate) enum Site {
    Files(Box<Root>),
    Page(Page),
}

impl Site {
    /// See [`Root::relies_on_reports`].
    pub(super) fn relies_on_reports(&self) -> bool {
        matches!(self, Self::Files(root) if root.relies_on_reports())
    }

    /// See [`Root::reported`].
    pub(super) fn reported(&mut self, reports: &mut impl Reports, index: u32, kind: &Kind) {
        if let Self::Files(root) = self {
            root.reported(reports, index, kind);
        }
    }

    /// See [`Root::tend`].
    pub(super) fn tend(&mut self, reports: &mut impl Reports, unix_s: u64) {
        if let Self::Files(root) = self {
            root.tend(reports, unix_s);
        }
    }

    /// See [`Root::take_loaded`].
    pub(super) fn take_loaded(&mut self, seen: Seen) -> Vec<(u64, Found)> {
        match self {
            Self::Files(root) => root.take_loaded(seen),
            Self::Page(_) => Vec::new(),
        }
    }
}

impl Content for Site {
    fn find(&mut self, path: &[u8], seen: Seen, counts: &Counts) -> Found {
        match self {
            Self::Files(root) => root.find(path, seen, counts),
            Self::Page(page) => page.find(path, seen, counts),
        }
    }

    fn offer(&mut self, found: Option<Found>) {
        match self {
            Self::Files(root) => root.offer(found),
            Self::Page(page) => page.offer(found),
        }
    }

    fn wants_tending(&self) -> bool {
        match self {
            Self::Files(root) => root.wants_tending(),
            Self::Page(page) => page.wants_tending(),
        }
    }

    fn let_go(&mut self) -> bool {
        match self {
            Self::Files(root) => root.let_go(),
            Self::Page(page) => page.let_go(),
        }
    }
}
