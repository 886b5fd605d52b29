//! The targets, by what they read.

pub(crate) mod config;
pub(crate) mod envelope;
pub(crate) mod failures;
pub(crate) mod headers;
pub(crate) mod packed;
pub(crate) mod payloads;
pub(crate) mod replier;
pub(crate) mod values;
