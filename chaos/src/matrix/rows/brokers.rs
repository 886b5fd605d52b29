//! Rows 1 to 8: brokers are killed, frozen and restarted.

use std::thread::sleep;
use std::time::Duration;

use super::brief;
use crate::Outcome;
use crate::faults::leaders;
use crate::matrix::row::{Errors, Row};
use crate::matrix::stage::Stage;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(1, "partition leader killed", |stage| {
            let (leader, _) = leaders::leader(stage.bootstrap(), &stage.topic, 0)?;
            kill_and_restart(stage, leader)
        }),
        Row::new(2, "rolling restart", |stage| {
            for node in 1..=3 {
                stage.broker.stop(node)?;
                stage.broker.restart(node)?;
                leaders::settle(stage.bootstrap(), &stage.topic, 3, None)?;
            }
            Ok(())
        }),
        Row::new(3, "preferred leader election", |stage| {
            let (leader, _) = leaders::leader(stage.bootstrap(), &stage.topic, 0)?;
            stage.broker.stop(leader)?;
            stage.broker.restart(leader)?;
            leaders::settle(stage.bootstrap(), &stage.topic, 3, Some(leader))
        }),
        Row::new(4, "each node killed, the active controller among them", |stage| {
            for node in 1..=3 {
                stage.broker.kill(node)?;
                sleep(Duration::from_secs(5));
                stage.broker.restart(node)?;
                leaders::settle(stage.bootstrap(), &stage.topic, 3, None)?;
            }
            Ok(())
        }),
        Row::new(5, "all brokers down for 5 s", |stage| all_down(stage, Duration::from_secs(5)))
            .errors(Errors::Some)
            .duplicates()
            .setup(brief),
        Row::new(5, "all brokers down for 30 s", |stage| all_down(stage, Duration::from_secs(30)))
            .variant("long")
            .errors(Errors::Some)
            .duplicates()
            .setup(brief),
        Row::new(6, "partition leader frozen", |stage| {
            let (leader, _) = leaders::leader(stage.bootstrap(), &stage.topic, 0)?;
            stage.broker.pause(leader)?;
            sleep(Duration::from_secs(8));
            Ok(stage.broker.resume(leader)?)
        })
        .duplicates(),
        Row::new(7, "group coordinator killed", |stage| {
            let node = leaders::coordinator(stage.bootstrap(), &stage.topic)?;
            kill_and_restart(stage, node)
        })
        .duplicates(),
        Row::new(8, "below the least in-sync replicas", |stage| {
            stage.broker.kill(1)?;
            stage.broker.kill(2)?;
            sleep(Duration::from_secs(6));
            stage.broker.restart(1)?;
            stage.broker.restart(2)?;
            leaders::settle(stage.bootstrap(), &stage.topic, 3, None)
        })
        .errors(Errors::Some)
        .duplicates()
        .setup(brief),
    ]
}

pub(super) fn all_down(stage: &mut Stage<'_>, length: Duration) -> Outcome {
    for node in 1..=3 {
        stage.broker.kill(node)?;
    }
    sleep(length);
    for node in 1..=3 {
        stage.broker.restart(node)?;
    }
    leaders::settle(stage.bootstrap(), &stage.topic, 3, None)
}

fn kill_and_restart(stage: &mut Stage<'_>, node: i32) -> Outcome {
    stage.broker.kill(node)?;
    sleep(Duration::from_secs(10));
    stage.broker.restart(node)?;
    leaders::settle(stage.bootstrap(), &stage.topic, 3, None)
}
