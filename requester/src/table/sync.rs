//! The locks, atomics and threads that the table is made of: the standard library's, or Shuttle's
//! where its models run, which try the order of their steps in many ways.

#[cfg(not(all(test, antiphon_model)))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic},
    thread,
};

#[cfg(all(test, antiphon_model))]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard, PoisonError, atomic},
    thread,
};
