//! The calls in flight: a pure table, its shards and caps, and every way a call ends.

mod alarm;
mod budget;
mod calls;
mod in_flight;
mod shards;

pub(crate) use budget::Budget;
pub(crate) use calls::{Calls, Ended, Waiting};
