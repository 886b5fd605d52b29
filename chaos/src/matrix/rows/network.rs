//! Rows 37 to 41: the ways between processes and brokers are cut, dead, slow, lossy, or reset.

use std::time::Duration;

use antiphon_testkit::Way;

use super::brief;
use crate::faults::leaders;
use crate::faults::namespace::Harm;
use crate::matrix::ground::Route;
use crate::matrix::row::{Errors, Needs, Row};
use crate::matrix::stage::{Setup, Who};

/// Longer than the group waits for a replier.
const CUT: Duration = Duration::from_secs(12);
const SECONDS_10: Duration = Duration::from_secs(10);

fn far(setup: &mut Setup, who: Who) {
    setup.route = Route::Far;
    setup.who = who;
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(37, "requester cut off from all brokers", |stage| {
            stage.harm(Harm::Cut, None, CUT)
        })
        .needs(Needs::Namespace)
        .errors(Errors::Some)
        .setup(|setup| {
            brief(setup);
            far(setup, Who::Requesters);
        }),
        Row::new(37, "one of two repliers cut off from all brokers", |stage| {
            stage.harm(Harm::Cut, None, CUT)
        })
        .variant("replier")
        .needs(Needs::Namespace)
        .duplicates()
        .setup(|setup| far(setup, Who::FirstReplier)),
        Row::new(37, "everybody cut off from the leader of a partition", |stage| {
            let (leader, _) = leaders::leader(stage.bootstrap(), &stage.topic, 0)?;
            stage.harm(Harm::Cut, Some(leader), CUT)
        })
        .variant("leader")
        .needs(Needs::Namespace)
        .errors(Errors::Some)
        .duplicates()
        .setup(|setup| {
            brief(setup);
            far(setup, Who::All);
        }),
        Row::new(38, "half-open connections, all and for good", |stage| {
            let way = Way { swallows: true, ..Way::default() };
            stage.bad_way(way, Duration::from_secs(8))
        })
        .errors(Errors::Some)
        .duplicates()
        .setup(|setup| {
            brief(setup);
            setup.route = Route::Proxied;
        }),
        Row::new(39, "200±100 ms in each direction", |stage| {
            let [delay, jitter] = [200, 100].map(Duration::from_millis);
            stage.bad_way(Way { delay, jitter, swallows: false }, SECONDS_10)
        })
        .setup(|setup| setup.route = Route::Proxied),
        Row::new(40, "5 % of all packets lost", |stage| {
            stage.harm(Harm::Loss(5), None, SECONDS_10)
        })
        .needs(Needs::Namespace)
        .setup(|setup| far(setup, Who::All)),
        Row::new(41, "connections reset at random, then all", |stage| {
            stage.harm(Harm::Reset(10), None, Duration::from_secs(7))?;
            stage.harm(Harm::Reset(1_000), None, Duration::from_secs(3))
        })
        .needs(Needs::Namespace)
        .duplicates()
        .setup(|setup| far(setup, Who::All)),
    ]
}
