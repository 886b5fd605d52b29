//! Rows 47 and 48: processes get less than they want.

use std::time::Duration;

use super::brief;
use super::brokers::all_down;
use crate::matrix::row::{Errors, Row};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(47, "256 MiB of memory for each process, under overload", |stage| {
            stage.burst(800, Duration::from_secs(10))
        })
        .errors(Errors::NotSent)
        .setup(|setup| {
            setup.memory = Some(256 << 20);
            setup.rate = 50;
            setup.padding = 20_000;
            setup.timeout_ms = 3_000;
            setup.handler_ms = 20;
            setup.asking.max_in_flight_bytes = 16 << 20;
            setup.answering.concurrency = 2;
            setup.answering.max_outstanding_bytes = 32 << 20;
        }),
        Row::new(48, "no file descriptors when brokers come back", |stage| {
            stage.limit_descriptors(true)?;
            all_down(stage, Duration::from_secs(2))?;
            std::thread::sleep(Duration::from_secs(6));
            stage.limit_descriptors(false)
        })
        .errors(Errors::Some)
        .codes(&["timeout", "produce"])
        .duplicates()
        .setup(brief),
    ]
}
