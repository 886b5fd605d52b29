//! One module for each command: its options, and what it does.

mod answers;
pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod completions;
pub(crate) mod demo;
mod demo_repliers;
mod demo_report;
pub(crate) mod dev;
pub(crate) mod dlq;
pub(crate) mod doctor;
mod one_way;
pub(crate) mod reply;
pub(crate) mod submit;
mod tally;
pub(crate) mod ticket;
pub(crate) mod top;
