//! The server over real sockets, on every backend that there is here.
// What is not there in a test has failed it.
#![allow(clippy::unwrap_used)]

mod cases;
mod changing;
mod chaos;
mod client;
mod ending;
mod limits;
mod listeners;
mod live;
mod options;
mod pipes;
mod pressing;
mod renewal;
mod serving;
mod shared;
mod threads;
mod tls;
