//! The requester's table of calls in flight, from its own files.
#![allow(dead_code, unreachable_pub, reason = "only some of it is measured")]

#[rustfmt::skip]
#[path = "../../../requester/src/table/in_flight.rs"]
mod in_flight;
#[rustfmt::skip]
#[path = "../../../requester/src/table/moment.rs"]
mod moment;
#[rustfmt::skip]
#[path = "../../../requester/src/table/slab.rs"]
mod slab;
#[rustfmt::skip]
#[path = "../../../requester/src/table/wheel.rs"]
mod wheel;

pub(crate) use in_flight::InFlight;
pub(crate) use moment::Moment;
