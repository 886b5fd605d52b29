//! Rows 18 to 23: requesters have no room, die, are stopped, drop what they have asked for, and ask
//! before they are ready.

use std::thread::sleep;
use std::time::Duration;

use super::{brief, hold};
use crate::matrix::row::{Errors, Row};
use crate::workers::payload::Deed;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(18, "local queue full: brokers frozen, room for 10 records", |stage| {
            for node in 1..=3 {
                stage.broker.pause(node)?;
            }
            sleep(Duration::from_secs(3));
            for node in 1..=3 {
                stage.broker.resume(node)?;
            }
            Ok(())
        })
        .errors(Errors::NotSent)
        .duplicates()
        .setup(|setup| {
            setup.timeout_ms = 10_000;
            setup.asking_properties =
                [("queue.buffering.max.messages".to_owned(), "10".to_owned())].into();
        }),
        Row::new(20, "requester killed, another on its partition", |stage| {
            stage.kill_requester()?;
            stage.add_requester()?;
            sleep(Duration::from_secs(3));
            Ok(())
        }),
        Row::new(21, "requester stopped past its deadlines", |stage| {
            stage.pause(false, Duration::from_secs(6))
        })
        .errors(Errors::Allowed)
        .setup(brief),
        Row::new(22, "futures dropped", hold).errors(Errors::Some).setup(|setup| {
            setup.drops = true;
            // A reply would end what a drop has left behind.
            setup.odd = Deed::Hang;
            setup.rate = 100;
            setup.answering.handler_timeout_ms = 15_000;
        }),
        Row::new(23, "first requests of 40 requesters, half not positioned", |stage| {
            stage.newcomers(40)
        }),
    ]
}
