//! Rows 26 to 36: records that nobody should write, and replies that nobody can.

use std::time::Duration;

use super::hold;
use crate::faults::records;
use crate::matrix::row::{Errors, Row};
use crate::workers::payload::Deed;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(26, "bad reply partitions and bad headers (29, 30)", |stage| {
            records::poison(stage.bootstrap(), &stage.topic, 100)
        }),
        Row::new(28, "replies that are too large", hold)
            .errors(Errors::Some)
            .setup(|setup| setup.odd = Deed::Large),
        Row::new(34, "replies twice, in any order, and too late (35)", |stage| {
            stage.kill_repliers()?;
            let sent = stage.rogue(Duration::from_secs(5))?;
            eprintln!("  {} good, {} again, {} late", sent.good, sent.again, sent.late);
            stage.add_replier()?;
            stage.add_replier()
        })
        .errors(Errors::Some)
        .codes(&["timeout"])
        .duplicates()
        .counted(&["late"])
        .setup(|setup| setup.timeout_ms = 5_000),
        Row::new(36, "10,000 forged replies a second", |stage| {
            let topic = format!("{}.replies", stage.topic);
            let length = Duration::from_secs(5);
            let count = records::forge(stage.bootstrap(), &topic, 10_000, length)?;
            eprintln!("  {count} forged");
            Ok(())
        }),
    ]
}
