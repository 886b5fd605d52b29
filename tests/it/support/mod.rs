//! What the tests stand on: brokers, repliers that are started and stopped, plain records, and
//! waiting with a bound.

pub(crate) mod asking;
pub(crate) mod bombs;
pub(crate) mod brokers;
pub(crate) mod counting;
pub(crate) mod forgery;
pub(crate) mod instances;
pub(crate) mod records;
pub(crate) mod replying;
pub(crate) mod runs;
pub(crate) mod waiting;
