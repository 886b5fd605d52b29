//! The rows that can be injected, a module for each group of them, and those that cannot, with the
//! reason.

mod brokers;
mod clock;
mod network;
mod odd_records;
mod repliers;
mod requesters;
mod resources;
mod topics;

use std::thread::sleep;
use std::time::Duration;

use super::row::Row;
use super::stage::{Setup, Stage};
use crate::Outcome;

/// Nobody's row: why it is not in the matrix.
pub(super) const UNTESTED: &[(&str, &str)] = &[
    ("9", "the specification has no row of this number"),
    ("19", "the specification has no row of this number"),
    ("31-32", "Antiphon has no client of a schema registry"),
    ("42", "needs a secured cluster: tests/it/kafka/secured/revoked.rs"),
    ("43-44", "need a secured cluster: tests/it/kafka/secured"),
    ("49", "needs a secured cluster: tests/it/kafka/secured/unwritable.rs"),
    ("46", "the specification has no row of this number"),
];

/// All rows, in the order they run in.
pub(super) fn all() -> Vec<Row> {
    let groups = [
        brokers::rows(),
        repliers::rows(),
        requesters::rows(),
        topics::rows(),
        odd_records::rows(),
        resources::rows(),
        clock::rows(),
        network::rows(),
    ];
    let mut rows: Vec<Row> = groups.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.number);
    rows
}

/// Calls that end within the fault, and so with errors.
fn brief(setup: &mut Setup) {
    setup.timeout_ms = 2_000;
}

/// The load is the fault: it goes on.
fn hold(_: &mut Stage<'_>) -> Outcome {
    sleep(Duration::from_secs(5));
    Ok(())
}
