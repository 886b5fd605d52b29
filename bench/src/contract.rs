//! What `run` and the processes of a contender say to each other: a line of JSON each way.
//!
//! A process prints `ready` when it is started, and ends when its standard input does. A replier that
//! is reached without a broker between prints `ready` and its address. A requester
//! reads an [`Order`] per line and answers it with [`Figures`]. A contender in another language is
//! a program that does the same.

use serde::{Deserialize, Serialize};

/// What a requester is to measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Calls at once; with a rate, the most that may be under way.
    pub(crate) in_flight: usize,
    pub(crate) requests: u64,
    /// Calls per second, each timed from when it should have been sent; none: as fast as answers
    /// come.
    pub(crate) rate: Option<f64>,
}

/// What it has measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) seconds: f64,
    /// User and system time of the requester's process.
    pub(crate) cpu_us: u64,
    pub(crate) min_us: u64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}
