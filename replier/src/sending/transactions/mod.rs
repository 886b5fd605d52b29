//! Replies, the records that come before them, and the offsets of their requests, in transactions.
//!
//! | file | what it holds |
//! |---|---|
//! | `queue` | the end that requests are put in, and how the thread is started and ended |
//! | `worker` | the thread: what it does when, and what follows from how a transaction ended |
//! | `requests` | which requests are in the next one, and what becomes of those at fault in the last |
//! | `producer` | the transactional producer: each of its calls, with a bound |
//! | `verdict` | what an error of such a call means: pure |
//! | `offsets` | what is committed, and whether it was if nobody said so |
//! | `blame` | what becomes of a request whose record was refused |
//! | `destinations` | whether the topics of records are there |

mod blame;
mod destinations;
mod offsets;
mod producer;
mod queue;
mod requests;
mod verdict;
mod worker;

pub(crate) use queue::{Collected, Queue, Transactions, queue};
