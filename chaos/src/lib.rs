//! Faults for Antiphon on real brokers, the histories that its processes write meanwhile, and the
//! checker that judges them.
//!
//! - [`history`]: what happened, as each process wrote it down
//! - [`checker`]: which guarantees that breaks, and the figures of each fault
#![forbid(unsafe_code)]

pub mod checker;
pub mod history;
