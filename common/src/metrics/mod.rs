//! The metrics of both sides. Labels come from static registries only, never from the wire.

mod replier;
mod requester;

pub use replier::{HandlerMetrics, ReplierMetrics};
pub use requester::RequesterMetrics;

/// Buckets of every duration, in seconds: 250 µs to 30 s.
pub(crate) const SECONDS: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];
