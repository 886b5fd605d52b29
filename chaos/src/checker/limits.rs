//! What a run is judged by, beside the history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::Gauge;

/// What a run is judged by. Times are microseconds. In a folder of histories it is `limits.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How much later than its deadline a call may end (G1).
    pub end_slack_us: u64,
    /// How much later than the deadline a handler may start (G6): what lies between the replier's
    /// own look at the clock and the handler's first line.
    pub start_slack_us: u64,
    /// How long a process that was paused has to come to itself.
    pub wake_us: u64,
    /// Whether requesters and repliers have the same time of day. If not, handlers are judged by
    /// the deadline that they were given, not by their callers'.
    pub clocks_agree: bool,
    /// Whether the run is over: each process has stopped or was killed.
    pub is_complete: bool,
    /// Whether the replier looks for duplicates, so that there may be one effect of each call (G7).
    pub dedupe: bool,
    /// Whether replies and offsets are committed together, so that there may be one reply (G8).
    pub transactional: bool,
    /// The most that processes may hold (G10), by how their names begin.
    pub caps: BTreeMap<String, Gauge>,
    /// How fast memory may grow in the second half of a process' life, in bytes per second (G10).
    pub memory_growth_per_s: Option<f64>,
    /// How long a process must have been read for that to be judged: young ones still grow.
    pub growth_from_us: u64,
    /// How long no call may be answered while some are waiting (G11): for faults that are partial.
    pub stall_us: Option<u64>,
    /// How long a process may take to stop (G12).
    pub drain_us: u64,
    /// Whether a stop in good order may repeat nothing (G12). Not so if a broker was away meanwhile.
    pub clean_drain: bool,
    /// How long the brokers may take for the last commit of a partition that is handed over or lost
    /// (G5).
    pub hand_over_us: u64,
    /// The order that was asked for (G13).
    pub order: Order,
    /// The topics that replies may go to (G14). If there are none, any.
    pub reply_topics: Vec<String>,
    /// How long throughput may take to come back after a fault is healed.
    pub recovery_us: u64,
    /// What part of the steady throughput is enough.
    pub recovered_at: f64,
}

/// The order in which handlers are to start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Any.
    #[default]
    Unordered,
    /// Requests of one key in the order of their offsets.
    ByKey,
    /// Requests of one partition in the order of their offsets.
    ByPartition,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            end_slack_us: 100_000,
            start_slack_us: 50_000,
            wake_us: 1_000_000,
            clocks_agree: true,
            is_complete: true,
            dedupe: false,
            transactional: false,
            caps: BTreeMap::new(),
            memory_growth_per_s: None,
            growth_from_us: 0,
            stall_us: None,
            drain_us: 30_000_000,
            clean_drain: true,
            hand_over_us: 2_000_000,
            order: Order::Unordered,
            reply_topics: Vec::new(),
            recovery_us: 30_000_000,
            recovered_at: 0.95,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_only_what_differs_and_nothing_misspelt() {
        let limits: Limits = serde_json::from_str(r#"{"dedupe": true}"#).expect("valid");
        assert_eq!(limits, Limits { dedupe: true, ..Limits::default() });
        let error = serde_json::from_str::<Limits>(r#"{"dedup": true}"#).expect_err("no limit");
        assert!(error.to_string().contains("dedup"), "{error}");
    }
}
