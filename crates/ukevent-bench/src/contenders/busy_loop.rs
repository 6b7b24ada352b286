//! No events at all: reads from every descriptor in turn, again and again.

use crate::tables::events::{Kind, Taken, Takes};
use crate::tables::ready::Descriptor;
use ukevent_measure::Result;

/// All descriptors.
#[derive(Debug)]
pub struct BusyLoop(Vec<Descriptor>);

impl Takes for BusyLoop {
    fn new(_kind: Kind, readers: &[Descriptor]) -> Result<Self> {
        Ok(Self(readers.to_vec()))
    }

    fn take(&mut self, taken: &mut Taken) -> Result<()> {
        self.0.iter().enumerate().try_for_each(|(place, reader)| taken.read(place, reader))
    }
}
