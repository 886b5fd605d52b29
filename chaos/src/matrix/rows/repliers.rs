//! Rows 10 to 17 and 45: repliers come, go, die, stall, are given more than they can do, and are
//! fenced.

use std::thread::sleep;
use std::time::Duration;

use antiphon::config::{DedupeStore, Lane};
use antiphon_chaos::checker::{Limits, Order};

use super::hold;
use crate::Outcome;
use crate::matrix::row::{Errors, Row};
use crate::matrix::stage::{Setup, Stage};
use crate::workers::orders::{CrashPoint, Keys};
use crate::workers::payload::Deed;

/// A replier that kills itself, and another in its place.
const fn crash(variant: &'static str, name: &'static str) -> Row {
    Row::new(11, name, |stage| {
        stage.crash_replier()?;
        stage.add_replier()?;
        sleep(Duration::from_secs(8));
        Ok(())
    })
    .variant(variant)
}

/// Requests share records. They do only while many are in flight: here about 300, of which ten are asked at
/// a time.
fn packed(setup: &mut Setup) {
    setup.asking.pack_requests = true;
    setup.keys = Keys::Without;
    setup.rate = 500;
    setup.at_once = 10;
    setup.handler_ms = 600;
    // What a replier leaves when it dies is made up for soon.
    setup.answering.concurrency = 1_000;
}

/// What was claimed by one that died is answered with an error by the next, and not done.
fn one_effect(limits: &mut Limits) {
    limits.dedupe = true;
    limits.clean_drain = false;
    if let Some(replier) = limits.caps.get_mut("replier") {
        // One more client reads the changelog while windows are restored.
        replier.fds = Some(200);
    }
}

/// Two minutes as the specification has it, or a fair part of that.
pub(super) fn storm(stage: &mut Stage<'_>) -> Outcome {
    for _ in 0..if stage.is_long { 30 } else { 5 } {
        stage.add_replier()?;
        sleep(Duration::from_secs(2));
        stage.stop_replier()?;
        sleep(Duration::from_secs(2));
    }
    Ok(())
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(10, "a replier joins or leaves every 2 s", storm).duplicates(),
        Row::new(10, "a replier joins or leaves every 2 s; lanes by key", storm)
            .variant("by-key")
            .duplicates()
            .setup(|setup| {
                setup.answering.lane = Lane::ByKey;
                setup.keys = Keys::Turns(20);
                setup.handler_ms = 2;
            })
            .asks(|limits| limits.order = Order::ByKey),
        Row::new(11, "replier killed", |stage| {
            stage.kill_replier()?;
            stage.add_replier()?;
            sleep(Duration::from_secs(8));
            Ok(())
        })
        .duplicates(),
        crash("before-handler", "replier kills itself before the handler")
            .duplicates()
            .setup(|setup| setup.crash = Some(CrashPoint::BeforeHandler)),
        crash("after-effect", "replier kills itself after the effect")
            .handled_again()
            .setup(|setup| setup.crash = Some(CrashPoint::AfterEffect)),
        crash("after-reply", "replier kills itself after the reply")
            .duplicates()
            .setup(|setup| setup.crash = Some(CrashPoint::AfterReply)),
        crash("before-commit", "replier kills itself before the commit").handled_again().setup(
            |setup| {
                setup.crash = Some(CrashPoint::BeforeCommit);
                setup.answering.commit_interval_ms = 5_000;
            },
        ),
        // A request whose replier died amid it is answered with `ABORTED`.
        crash("dedupe", "replier kills itself after the effect; dedupe")
            .errors(Errors::Allowed)
            .codes(&["ABORTED"])
            .setup(|setup| {
                setup.crash = Some(CrashPoint::AfterEffect);
                setup.answering.dedupe.store = DedupeStore::Durable;
                setup.answering.dedupe.claim = true;
            })
            .asks(one_effect),
        crash("kept", "replier kills itself before the commit; dedupe")
            .counted(&["kept_replies"])
            .setup(|setup| {
                setup.crash = Some(CrashPoint::BeforeCommit);
                setup.answering.commit_interval_ms = 5_000;
                setup.answering.dedupe.store = DedupeStore::Durable;
                setup.answering.dedupe.claim = true;
            })
            .errors(Errors::Allowed)
            .codes(&["ABORTED"])
            .asks(one_effect),
        crash("transactions", "replier kills itself after the effect; transactions")
            .handled_again()
            .setup(|setup| {
                setup.crash = Some(CrashPoint::AfterEffect);
                setup.answering.transactions.enabled = true;
            })
            .asks(|limits| limits.transactional = true),
        crash("packed", "replier kills itself after the effect; packed requests")
            .handled_again()
            .counted(&["shared_requests"])
            .setup(|setup| {
                packed(setup);
                setup.crash = Some(CrashPoint::AfterEffect);
            }),
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
        Row::new(45, "a second producer with the transactional id", |stage| {
            for _ in 0..3 {
                stage.fence()?;
                sleep(Duration::from_secs(2));
            }
            Ok(())
        })
        .duplicates()
        .counted(&["rebuilt"])
        .setup(|setup| setup.answering.transactions.enabled = true)
        .asks(|limits| limits.transactional = true),
    ]
}
