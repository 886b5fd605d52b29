//! The records that requests lead to, on their way out.

pub(crate) mod burst;
pub(crate) mod duty;
pub(crate) mod outgoing;
mod packed;
pub(crate) mod protection;
pub(crate) mod replies;
pub(crate) mod sender;
pub(crate) mod transactions;
