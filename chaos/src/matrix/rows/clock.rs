//! Row 33: clocks that differ by an hour.

use super::hold;
use crate::matrix::row::{Needs, Row};

const HOUR: i64 = 3_600;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(33, "the requester's clock is an hour behind", hold)
            .needs(Needs::OtherTime)
            .counted(&["clock_skew"])
            .setup(|setup| setup.requester_ahead = -HOUR),
        Row::new(33, "the requester's clock is an hour ahead", hold)
            .variant("ahead")
            .needs(Needs::OtherTime)
            .counted(&["clock_skew"])
            .setup(|setup| setup.requester_ahead = HOUR),
        Row::new(33, "the clocks of all repliers are an hour ahead", hold)
            .variant("repliers")
            .needs(Needs::OtherTime)
            .counted(&["clock_skew"])
            .setup(|setup| setup.replier_ahead = HOUR),
    ]
}
