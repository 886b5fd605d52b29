//! Integration tests of the library: against the embedded broker, which is quick, and against
//! real Kafka, where offsets, rebalances and outages are what they will be in production.

#![allow(clippy::unwrap_used)]

mod embedded;
mod kafka;
mod support;
