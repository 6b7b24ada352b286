//! The lock and the shared count, or loom's in their place (`--cfg loom`), which tries every order of
//! steps.

#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
