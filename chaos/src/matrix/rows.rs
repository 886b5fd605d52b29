//! The rows that can be injected, and those that cannot, with the reason.

use std::thread::sleep;
use std::time::Duration;

use super::row::{Errors, Row};
use super::stage::{Setup, Stage};
use crate::Outcome;
use crate::faults::{leaders, records};
use crate::workers::payload::Deed;

/// Nobody's row: why it is not in the matrix.
pub(super) const UNTESTED: &[(&str, &str)] = &[
    ("9", "the specification has no row of this number"),
    ("19", "the specification has no row of this number"),
    ("23-25", "no row; tests/it: embedded/first_request, kafka/growth, kafka/leases"),
    ("27", "no row; the gap is counted by tests/it/kafka/offsets"),
    ("31-32", "Antiphon has no client of a schema registry"),
    ("33", "clock skew: the product has no seam for its clock"),
    ("34-35", "duplicated and late replies: only as they come of rows 11 and 13"),
    ("37-41", "network faults: no row, and no test but a frozen broker (6) and a lost one (1)"),
    ("42", "a right taken away amid a run: not tested"),
    ("43-44", "need a secured cluster: tests/it/kafka/secured, all but an expired certificate"),
    ("49", "need a secured cluster: cli/tests/least_rights, at the start only"),
    ("45", "no row; tests/it/kafka/transactions"),
    ("46", "the specification has no row of this number"),
    ("47-48", "cgroup and file limits: not written yet"),
];

const fn row(number: u32, name: &'static str, fault: fn(&mut Stage<'_>) -> Outcome) -> Row {
    Row { number, name, setup: |_| {}, fault, errors: Errors::None, duplicates: false }
}

/// All rows, in the order they run in.
pub(super) fn all() -> Vec<Row> {
    let again = |row: Row| Row { duplicates: true, ..row };
    let with = |row: Row, errors, setup| Row { errors, setup, ..row };
    let brief: fn(&mut Setup) = |setup| setup.timeout_ms = 2_000;
    vec![
        row(1, "partition leader killed", |stage| {
            let (leader, _) = leaders::leader(stage.bootstrap(), &stage.topic, 0)?;
            kill_and_restart(stage, leader)
        }),
        row(2, "rolling restart", |stage| {
            for node in 1..=3 {
                stage.broker.stop(node)?;
                stage.broker.restart(node)?;
                leaders::settle(stage.bootstrap(), &stage.topic, 3, None)?;
            }
            Ok(())
        }),
        row(3, "preferred leader election", |stage| {
            let (leader, _) = leaders::leader(stage.bootstrap(), &stage.topic, 0)?;
            stage.broker.stop(leader)?;
            stage.broker.restart(leader)?;
            leaders::settle(stage.bootstrap(), &stage.topic, 3, Some(leader))
        }),
        row(4, "each node killed, the active controller among them", |stage| {
            for node in 1..=3 {
                stage.broker.kill(node)?;
                sleep(Duration::from_secs(5));
                stage.broker.restart(node)?;
                leaders::settle(stage.bootstrap(), &stage.topic, 3, None)?;
            }
            Ok(())
        }),
        again(with(
            row(5, "all brokers down for 5 s", |stage| {
                for node in 1..=3 {
                    stage.broker.kill(node)?;
                }
                sleep(Duration::from_secs(5));
                for node in 1..=3 {
                    stage.broker.restart(node)?;
                }
                leaders::settle(stage.bootstrap(), &stage.topic, 3, None)
            }),
            Errors::Some,
            brief,
        )),
        again(row(6, "partition leader frozen", |stage| {
            let (leader, _) = leaders::leader(stage.bootstrap(), &stage.topic, 0)?;
            stage.broker.pause(leader)?;
            sleep(Duration::from_secs(8));
            Ok(stage.broker.resume(leader)?)
        })),
        again(row(7, "group coordinator killed", |stage| {
            let node = leaders::coordinator(stage.bootstrap(), &stage.topic)?;
            kill_and_restart(stage, node)
        })),
        again(with(
            row(8, "below the least in-sync replicas", |stage| {
                stage.broker.kill(1)?;
                stage.broker.kill(2)?;
                sleep(Duration::from_secs(6));
                stage.broker.restart(1)?;
                stage.broker.restart(2)?;
                leaders::settle(stage.bootstrap(), &stage.topic, 3, None)
            }),
            Errors::Some,
            brief,
        )),
        again(row(10, "a replier joins or leaves every 2 s", |stage| {
            for _ in 0..5 {
                stage.add_replier()?;
                sleep(Duration::from_secs(2));
                stage.stop_replier()?;
                sleep(Duration::from_secs(2));
            }
            Ok(())
        })),
        again(row(11, "replier killed", |stage| {
            stage.kill_replier()?;
            stage.add_replier()?;
            sleep(Duration::from_secs(8));
            Ok(())
        })),
        row(12, "replier ended by SIGTERM under load", |stage| {
            stage.stop_replier()?;
            stage.add_replier()?;
            sleep(Duration::from_secs(3));
            Ok(())
        }),
        again(row(13, "zombie replier", |stage| stage.pause(true, Duration::from_secs(9)))),
        with(row(14, "handlers that hang", hold), Errors::Some, |setup| {
            setup.odd = Deed::Hang;
            setup.rate = 100;
            setup.answering.handler_timeout_ms = 1_000;
        }),
        with(row(15, "handlers that block", hold), Errors::None, |setup| {
            setup.odd = Deed::Block;
            setup.rate = 20;
        }),
        with(row(16, "handlers that panic", hold), Errors::Some, |setup| setup.odd = Deed::Panic),
        with(
            row(17, "ten times what repliers can do, for 5 s", |stage| {
                stage.burst(2_000, Duration::from_secs(5))
            }),
            Errors::Some,
            |setup| {
                setup.rate = 50;
                setup.timeout_ms = 2_000;
                setup.handler_ms = 20;
                setup.answering.concurrency = 2;
                setup.answering.max_outstanding = 100;
            },
        ),
        again(with(
            row(18, "local queue full: brokers frozen, room for 10 records", |stage| {
                for node in 1..=3 {
                    stage.broker.pause(node)?;
                }
                sleep(Duration::from_secs(3));
                for node in 1..=3 {
                    stage.broker.resume(node)?;
                }
                Ok(())
            }),
            Errors::NotSent,
            |setup| {
                setup.timeout_ms = 10_000;
                setup.asking_properties =
                    [("queue.buffering.max.messages".to_owned(), "10".to_owned())].into();
            },
        )),
        with(
            row(20, "requester killed, another on its partition", |stage| {
                stage.kill_requester()?;
                stage.add_requester()?;
                sleep(Duration::from_secs(3));
                Ok(())
            }),
            Errors::None,
            |_| {},
        ),
        with(
            row(21, "requester stopped past its deadlines", |stage| {
                stage.pause(false, Duration::from_secs(6))
            }),
            Errors::Allowed,
            brief,
        ),
        with(row(22, "futures dropped", hold), Errors::Some, |setup| {
            setup.drops = true;
            // A reply would end what a drop has left behind.
            setup.odd = Deed::Hang;
            setup.rate = 100;
            setup.answering.handler_timeout_ms = 15_000;
        }),
        row(26, "bad reply partitions and bad headers (29, 30)", |stage| {
            records::poison(stage.bootstrap(), &stage.topic, 100)
        }),
        with(row(28, "replies that are too large", hold), Errors::Some, |setup| {
            setup.odd = Deed::Large;
        }),
        row(36, "10,000 forged replies a second", |stage| {
            let topic = format!("{}.replies", stage.topic);
            let length = Duration::from_secs(5);
            let count = records::forge(stage.bootstrap(), &topic, 10_000, length)?;
            eprintln!("  {count} forged");
            Ok(())
        }),
    ]
}

fn kill_and_restart(stage: &mut Stage<'_>, node: i32) -> Outcome {
    stage.broker.kill(node)?;
    sleep(Duration::from_secs(10));
    stage.broker.restart(node)?;
    leaders::settle(stage.bootstrap(), &stage.topic, 3, None)
}

/// The load is the fault: it goes on.
fn hold(_: &mut Stage<'_>) -> Outcome {
    sleep(Duration::from_secs(5));
    Ok(())
}
