//! Rows 10 to 17: repliers come, go, die, stall and are given more than they can do.

use std::thread::sleep;
use std::time::Duration;

use super::hold;
use crate::matrix::row::{Errors, Row};
use crate::workers::payload::Deed;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(10, "a replier joins or leaves every 2 s", |stage| {
            for _ in 0..5 {
                stage.add_replier()?;
                sleep(Duration::from_secs(2));
                stage.stop_replier()?;
                sleep(Duration::from_secs(2));
            }
            Ok(())
        })
        .duplicates(),
        Row::new(11, "replier killed", |stage| {
            stage.kill_replier()?;
            stage.add_replier()?;
            sleep(Duration::from_secs(8));
            Ok(())
        })
        .duplicates(),
        Row::new(12, "replier ended by SIGTERM under load", |stage| {
            stage.stop_replier()?;
            stage.add_replier()?;
            sleep(Duration::from_secs(3));
            Ok(())
        }),
        Row::new(13, "zombie replier", |stage| stage.pause(true, Duration::from_secs(9)))
            .duplicates(),
        Row::new(14, "handlers that hang", hold).errors(Errors::Some).setup(|setup| {
            setup.odd = Deed::Hang;
            setup.rate = 100;
            setup.answering.handler_timeout_ms = 1_000;
        }),
        Row::new(15, "handlers that block", hold).setup(|setup| {
            setup.odd = Deed::Block;
            setup.rate = 20;
        }),
        Row::new(16, "handlers that panic", hold)
            .errors(Errors::Some)
            .setup(|setup| setup.odd = Deed::Panic),
        Row::new(17, "ten times what repliers can do, for 5 s", |stage| {
            stage.burst(2_000, Duration::from_secs(5))
        })
        .errors(Errors::Some)
        .setup(|setup| {
            setup.rate = 50;
            setup.timeout_ms = 2_000;
            setup.handler_ms = 20;
            setup.answering.concurrency = 2;
            setup.answering.max_outstanding = 100;
        }),
    ]
}
