//! What faults are made of, besides signals: who leads what, and records that nobody should write.

pub(crate) mod leaders;
pub(crate) mod records;
