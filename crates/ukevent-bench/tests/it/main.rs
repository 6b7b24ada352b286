//! The tables about servers, run small: every contender delivers, and what it is shown beside is there. And their
//! servers, asked by hand.

#![allow(clippy::unwrap_used)]

mod bursts;
mod dead;
mod sequential;
mod servers;
