//! How speed is measured and shown: one method, for the tables of the command `ukevent bench` and for those with
//! rivals.
//!
//! A speed is a ratio between contenders that ran in turn, in one run, on one machine. [`alternate`] lets them,
//! round after round; a figure is the median of its rounds, and a comparison the median of the ratios of rounds that
//! belong together, with the spread. If that lies on both sides of 1, there is no difference. CPU time stands
//! beside the time that passed. Only what was delivered counts: who lost, doubled or invented one unit has no
//! result.
//!
//! What was measured is an [`Outcome`](results::Outcome), in JSON; tables and curves are made from those and from
//! nothing else.

#![forbid(unsafe_code)]

pub mod clock;
pub mod cores;
pub mod memory;
mod method;
#[cfg(feature = "plot")]
pub mod plot;
mod random;
pub mod results;
pub mod stats;
pub mod table;
pub mod text;

pub use method::{Contender, Plan, Sample, Size, alternate, progress};
pub use random::Random;

/// Why a contender, or the whole run, has no result: for people.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// What came of it, or why nothing.
pub type Result<T> = std::result::Result<T, Error>;
