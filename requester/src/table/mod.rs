//! The calls in flight: a pure table, its shards and caps, and every way a call ends.

mod accounts;
mod adaptive;
mod alarm;
mod budget;
mod calls;
mod cancels;
mod in_flight;
#[cfg(all(test, antiphon_model))]
mod model;
mod moment;
mod shards;
mod slab;
mod sync;
mod waiting;
mod wheel;

pub(crate) use adaptive::AdaptiveLimit;
pub(crate) use budget::Budget;
pub(crate) use calls::Calls;
#[cfg(feature = "simulation")]
pub(crate) use moment::Epoch;
pub(crate) use moment::Moment;
pub(crate) use waiting::{Answered, Arrivals, Cancel, Done, Ended, Piece, Pieces, Position};
