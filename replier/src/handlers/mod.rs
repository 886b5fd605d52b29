//! What applications write: handlers by topic and endpoint, and what they are given.

pub(crate) mod address;
pub(crate) mod answerer;
pub(crate) mod blocking;
pub(crate) mod builtin;
pub(crate) mod context;
pub(crate) mod deferred;
pub(crate) mod extract;
pub(crate) mod handler;
pub(crate) mod id;
pub(crate) mod layer;
pub(crate) mod one_way;
pub(crate) mod pool;
mod quantile;
pub(crate) mod router;
pub(crate) mod routes;
pub(crate) mod stream_handler;
pub(crate) mod trace;
