//! What faults are made of, besides signals: who leads what, records and replies that nobody should
//! write, topics that change, networks that fail, and processes that get less than they want.

pub(crate) mod descriptors;
pub(crate) mod fencing;
pub(crate) mod leaders;
pub(crate) mod memory;
pub(crate) mod namespace;
pub(crate) mod records;
pub(crate) mod rogue;
pub(crate) mod topics;
