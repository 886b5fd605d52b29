//! Rows 24, 25 and 27: topics go, come again, grow, shrink, and lose what nobody has read.

use std::thread::sleep;
use std::time::Duration;

use antiphon::config::ReplyPartition;

use super::brief;
use crate::Outcome;
use crate::matrix::row::{Errors, Row};
use crate::matrix::stage::Stage;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(24, "reply topic deleted, and made again after 6 s", |stage| {
            replace_replies(stage, 1)
        })
        .errors(Errors::Some)
        .codes(&["timeout", "produce", "not_positioned"])
        .duplicates()
        .setup(brief),
        Row::new(25, "request topic and reply topic grow", |stage| {
            let (requests, replies) = (stage.topic.clone(), stage.reply_topic());
            stage.grow(&requests, 8)?;
            stage.grow(&replies, 4)?;
            // Those that are there learn of it by and by; those that come know of it.
            stage.newcomers(40)?;
            sleep(Duration::from_secs(5));
            Ok(())
        }),
        Row::new(25, "reply topic made again with too few partitions", |stage| {
            stage.delete_replies()?;
            stage.make_replies(1)?;
            sleep(Duration::from_secs(6));
            replace_replies(stage, 4)
        })
        .variant("shrunk")
        .errors(Errors::Some)
        .codes(&["timeout", "produce", "not_positioned"])
        .duplicates()
        .setup(|setup| {
            brief(setup);
            setup.reply_partitions = 4;
            setup.asking.reply_partition = ReplyPartition::Fixed(3);
        }),
        Row::new(27, "requests deleted while no replier is there", |stage| {
            stage.stop_repliers()?;
            sleep(Duration::from_secs(3));
            let unread = stage.delete_requests(100)?;
            eprintln!("  {unread} offsets were not committed");
            stage.add_replier()?;
            stage.add_replier()
        })
        .errors(Errors::Some)
        .codes(&["timeout"])
        .counted(&["deleted"])
        .setup(|setup| setup.timeout_ms = 5_000),
    ]
}

fn replace_replies(stage: &mut Stage<'_>, partitions: i32) -> Outcome {
    stage.delete_replies()?;
    sleep(Duration::from_secs(6));
    stage.make_replies(partitions)
}
