//! One request from its place in the lane to what it comes to.

pub(crate) mod attempts;
mod beyond;
pub(crate) mod dispose;
pub(crate) mod large;
pub(crate) mod quick;
pub(crate) mod serve;
pub(crate) mod streaming;
pub(crate) mod watchdog;
