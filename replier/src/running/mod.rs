//! One request from its place in the lane to what it comes to.

mod large;
pub(crate) mod serve;
pub(crate) mod streaming;
