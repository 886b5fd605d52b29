//! Row 33: clocks that differ by an hour.

use super::hold;
use super::repliers::storm;
use crate::matrix::row::Row;

const HOUR_MS: i64 = 3_600_000;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(33, "the requester's clock is an hour behind", hold)
            .counted(&["clock_skew"])
            .setup(|setup| setup.requester_ahead_ms = -HOUR_MS),
        Row::new(33, "the requester's clock an hour behind; partitions move", storm)
            .variant("moves")
            .counted(&["clock_skew"])
            .duplicates()
            .setup(|setup| setup.requester_ahead_ms = -HOUR_MS),
        Row::new(33, "the requester's clock is an hour ahead", hold)
            .variant("ahead")
            .counted(&["clock_skew"])
            .setup(|setup| setup.requester_ahead_ms = HOUR_MS),
        Row::new(33, "the clocks of all repliers are an hour ahead", hold)
            .variant("repliers")
            .counted(&["clock_skew"])
            .setup(|setup| setup.replier_ahead_ms = HOUR_MS),
    ]
}
