//! What was found, with the records that show it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Guarantee;
use super::index::At;
use crate::history::History;

/// So many of each guarantee are kept with their records; the others are counted.
const KEPT: usize = 20;

/// A guarantee that was broken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    /// Which.
    pub guarantee: Guarantee,
    /// How, in words.
    pub what: String,
    /// The events that show it, in order of time.
    pub records: Vec<Record>,
}

/// An event, and where it was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// The process that wrote it, which names its file.
    pub process: String,
    /// The line of the file; 0 if it was not read from one.
    pub line: usize,
    /// The event, as it was written.
    pub event: String,
    /// When it was, as the history tells time.
    pub at_us: u64,
}

/// Collects violations.
pub(super) struct Violations<'a> {
    history: &'a History,
    kept: Vec<Violation>,
    counts: BTreeMap<Guarantee, usize>,
}

impl<'a> Violations<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        Self { history, kept: Vec::new(), counts: BTreeMap::new() }
    }

    /// Notes one. The words are made only if it is kept.
    pub(super) fn add(
        &mut self,
        guarantee: Guarantee,
        records: impl IntoIterator<Item = At>,
        what: impl FnOnce() -> String,
    ) {
        let count = self.counts.entry(guarantee).or_default();
        *count += 1;
        if *count > KEPT {
            return;
        }
        let mut at: Vec<At> = records.into_iter().collect();
        at.sort_unstable();
        at.dedup();
        let records = at.into_iter().map(|at| self.record(at)).collect();
        self.kept.push(Violation { guarantee, what: what(), records });
    }

    pub(super) fn into_parts(mut self) -> (Vec<Violation>, BTreeMap<Guarantee, usize>) {
        self.kept.sort_by_key(|violation| violation.guarantee);
        (self.kept, self.counts)
    }

    fn record(&self, at: At) -> Record {
        let event = &self.history.events()[at];
        Record {
            process: event.process.clone(),
            line: self.history.origin(at).line,
            event: serde_json::to_string(&event.event).unwrap_or_else(|error| error.to_string()),
            at_us: event.at_us,
        }
    }
}
