//! Calls that are made more than once, or later: retries, hedges, and waiting for room.

mod policy;
mod retry_budget;
mod room;
mod run;

pub use policy::{Hedge, RetryPolicy};
pub(crate) use retry_budget::RetryBudget;
pub(crate) use room::Room;
pub(crate) use run::Plan;
#[cfg(feature = "simulation")]
pub(crate) use run::may_pass;
