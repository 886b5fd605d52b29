//! The replier's schedule, from its own file.
#![allow(dead_code, unreachable_pub, reason = "only some of it is measured")]

#[rustfmt::skip]
#[path = "../../../replier/src/lane/schedule.rs"]
mod schedule;

pub(crate) use schedule::{Meta, Schedule};
