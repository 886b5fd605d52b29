//! Faults for Antiphon on real brokers, the histories that its processes write meanwhile, and the
//! checker that judges them.
//!
//! - [`history`]: what happened, as each process wrote it down
//! - [`contents`]: what lies in the logs of the brokers, and which call that is of
//! - [`checker`]: which guarantees that breaks, and the figures of each fault
#![forbid(unsafe_code)]

pub mod checker;
pub mod contents;
pub mod history;
