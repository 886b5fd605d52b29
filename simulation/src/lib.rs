//! Requesters and repliers in one deterministic world: what happens next, and when, is up to a seed.
//!
//! | module | what it holds |
//! |---|---|
//! | `world` | the clock, the queue of events, and the order of a run |
//! | `asking` | requesters: calls, retries, leases, crashes |
//! | `answering`, `work` | repliers: partitions that move, and requests on their way |
//! | `kafka` | logs, and what becomes of a record on its way to one |
//! | `ledger` | what was promised of each call and each request, and whether it was kept |
//! | `bug` | ways to be wrong, to see that each is found |
//!
//! The in-flight table, the futures, the filter of replies, the retiring of partitions, the tracker,
//! its gaps, the dedupe window and the deadlines are the libraries' own, reached through their feature
//! `simulation`. Threads, lanes, transactions and librdkafka are not part of it.

mod answering;
mod asking;
mod bug;
mod kafka;
mod ledger;
mod work;
mod world;

pub use bug::Bug;
pub use world::World;
