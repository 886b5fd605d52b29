//! From the group's partitions to requests: polling, rebalances, offsets, and what a record must be.

pub(crate) mod assignment;
pub(crate) mod cancellations;
pub(crate) mod clocks;
pub(crate) mod commits;
pub(crate) mod ends;
mod flow;
pub(crate) mod gaps;
pub(crate) mod group;
mod holes;
pub(crate) mod incoming;
pub(crate) mod member;
pub(crate) mod outstanding;
mod parked;
pub(crate) mod partitions;
pub(crate) mod poll;
pub(crate) mod record;
pub(crate) mod reply_to;
pub(crate) mod rights;
pub(crate) mod several;
#[cfg(test)]
mod simulation;
mod taking;
pub(crate) mod tracker;
pub(crate) mod watermark;
