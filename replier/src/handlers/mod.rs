//! What applications write: handlers, and what they are given.

pub(crate) mod context;
pub(crate) mod handler;
pub(crate) mod router;
pub(crate) mod stream_handler;
