//! How many produce requests a producer may have under way, by the round trip to its brokers, and how
//! long its records wait for others, by how many calls are under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// A number of produce requests in flight per connection.
///
/// Beside the broker one is best: the next batch grows while the last one is under way, so that
/// there are few requests, which is what costs. Away from it the connection would be idle for most
/// of each round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace(pub(super) u32);

/// The pace that is within a third of the best everywhere, until the round trip is known.
pub(super) const UNKNOWN: Pace = Pace(5);

/// Round trips from which on more requests are better, with their number.
const STEPS: [(Duration, Pace); 3] = [
    (Duration::ZERO, Pace(1)),
    (Duration::from_millis(1), Pace(2)),
    (Duration::from_millis(3), Pace(5)),
];
/// A round trip this close to a step, in percent, changes nothing.
const HYSTERESIS: u32 = 25;
/// Fewer requests than this tell little of a broker.
const ENOUGH: i64 = 5;

/// How long a record waits for others, when there are many under way. librdkafka ends the wait when
/// another record is queued after it, or else at a full millisecond, so it is of use only where records
/// are queued all the time.
pub(super) const LINGER_MS: &str = "0.05";
/// From how many questions or answers on records wait for each other, and below how many no longer.
/// With 64 it was measured to be of use, in throughput and in processor time; with 16 it halves the
/// throughput where a core is quick.
const MANY: usize = 48;
const FEW: usize = 24;
/// For how long there must be fewer, until records wait no longer: of those that come in batches there
/// are few when the first ones of a batch are sent.
const FEWER_FOR: Duration = Duration::from_millis(10);

/// Whether records are to wait for each other; `now` is whether they do.
pub(super) fn gathers(now: bool, under_way: usize) -> bool {
    under_way >= if now { FEW } else { MANY }
}

/// Whether it has been so for long that records need not wait any more as they do.
#[derive(Debug)]
pub(super) struct Fewer {
    epoch: Instant,
    /// Since when, in nanoseconds after the epoch; [`NOT`] if it is not so.
    since: AtomicU64,
}

const NOT: u64 = u64::MAX;

impl Default for Fewer {
    fn default() -> Self {
        Self { epoch: Instant::now(), since: AtomicU64::new(NOT) }
    }
}

impl Fewer {
    /// Notes that it is not so. Reads no clock.
    pub(super) fn end(&self) {
        if self.since.load(Ordering::Relaxed) != NOT {
            self.since.store(NOT, Ordering::Relaxed);
        }
    }

    /// Notes that it is so, and says whether it has been for long enough.
    pub(super) fn note(&self) -> bool {
        let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(NOT - 1);
        match self.since.load(Ordering::Relaxed) {
            NOT => {
                self.since.store(now, Ordering::Relaxed);
                false
            }
            since => Duration::from_nanos(now.saturating_sub(since)) >= FEWER_FOR,
        }
    }
}

/// The pace that was found best last.
#[derive(Debug)]
pub(super) struct Measured {
    pace: AtomicU32,
    /// The last measurement asked for fewer requests.
    fewer: AtomicBool,
}

impl Default for Measured {
    fn default() -> Self {
        Self { pace: AtomicU32::new(UNKNOWN.0), fewer: AtomicBool::new(false) }
    }
}

impl Measured {
    pub(super) fn pace(&self) -> Pace {
        Pace(self.pace.load(Ordering::Relaxed))
    }

    /// The first measurement: no pace was chosen before.
    pub(super) fn begin(&self, round_trip: Duration) {
        self.pace.store(best(round_trip).0, Ordering::Relaxed);
    }

    /// A later one. It takes two in a row for fewer requests: where only produce requests take long,
    /// because they wait for replicas, a single look-up makes the shortest round trip a short one.
    /// Such are the first requests of each connection, and one now and then.
    pub(super) fn update(&self, round_trip: Duration) {
        let (now, next) = (self.pace(), next(self.pace(), round_trip));
        let fewer = next.0 < now.0;
        if self.fewer.swap(fewer, Ordering::Relaxed) || !fewer {
            self.pace.store(next.0, Ordering::Relaxed);
        }
    }
}

/// The shortest recent round trip to the farthest broker, from librdkafka's statistics (its
/// STATISTICS.md: `brokers.*.rtt`, microseconds); `None` if they tell too little.
///
/// The shortest, because under load the others measure the queue before the broker, which more
/// requests in flight would only lengthen.
pub(super) fn round_trip(statistics: &[u8]) -> Option<Duration> {
    let statistics: Statistics = serde_json::from_slice(statistics).ok()?;
    let known = statistics.brokers.into_values().filter(|broker| broker.nodeid >= 0);
    let spoken_to = known.filter_map(|broker| broker.rtt).filter(|rtt| rtt.cnt >= ENOUGH);
    spoken_to.filter_map(|rtt| u64::try_from(rtt.min).ok()).max().map(Duration::from_micros)
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: HashMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    nodeid: i32,
    rtt: Option<Window>,
}

#[derive(Deserialize)]
struct Window {
    min: i64,
    cnt: i64,
}

fn best(round_trip: Duration) -> Pace {
    let reached = STEPS.iter().rev().find(|(from, _)| round_trip >= *from);
    reached.map_or(UNKNOWN, |(_, pace)| *pace)
}

fn next(now: Pace, round_trip: Duration) -> Pace {
    let (nearer, farther) =
        (round_trip * (100 - HYSTERESIS) / 100, round_trip * (100 + HYSTERESIS) / 100);
    let (low, high) = (best(nearer), best(farther));
    if low.0 <= now.0 && now.0 <= high.0 { now } else { best(round_trip) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn records_wait_for_each_other_from_many_on_until_there_are_few() {
        let mut now = false;
        let gathered = [1, 47, 48, 47, 24, 23, 24, 47, 48].map(|under_way| {
            now = gathers(now, under_way);
            now
        });
        assert_eq!(gathered, [false, false, true, true, true, false, false, false, true]);
    }

    #[test]
    fn records_wait_no_longer_once_there_have_been_few_for_a_while() {
        let fewer = Fewer::default();
        assert!(!fewer.note());
        std::thread::sleep(FEWER_FOR);
        assert!(fewer.note());
        fewer.end();
        assert!(!fewer.note(), "it begins anew");
    }

    #[test]
    fn the_farther_the_broker_the_more_requests() {
        let paces = [0, 400, 999, 1_000, 2_999, 3_000, 50_000].map(|at| best(micros(at)).0);
        assert_eq!(paces, [1, 1, 1, 2, 2, 5, 5]);
    }

    #[test]
    fn a_round_trip_near_a_step_changes_nothing() {
        for (now, at, then) in [
            (1, 1_100, 1),
            (2, 900, 2),
            (1, 1_400, 2),
            (2, 700, 1),
            (5, 2_600, 5),
            (5, 2_000, 2),
            (1, 10_000, 5),
            (5, 300, 1),
        ] {
            assert_eq!(next(Pace(now), micros(at)), Pace(then), "{now} at {at} µs");
        }
    }

    #[test]
    fn more_requests_follow_at_once_and_fewer_when_it_is_said_twice() {
        let measured = Measured::default();
        measured.begin(micros(400));
        let mut paces = Vec::new();
        for at in [400, 6_000, 400, 6_000, 400, 400, 400, 1_500, 400, 400] {
            measured.update(micros(at));
            paces.push(measured.pace().0);
        }
        assert_eq!(paces, [1, 5, 5, 5, 5, 1, 1, 2, 2, 1]);
    }

    #[test]
    fn the_farthest_broker_that_is_spoken_to_counts() {
        let statistics = br#"{"name":"p","brokers":{
            "a:1/bootstrap":{"nodeid":-1,"rtt":{"min":90000,"cnt":50}},
            "a:1/1":{"nodeid":1,"rtt":{"min":420,"avg":900,"cnt":1000}},
            "b:1/2":{"nodeid":2,"rtt":{"min":5200,"avg":5400,"cnt":40}},
            "c:1/3":{"nodeid":3,"rtt":{"min":70000,"cnt":1}}}}"#;
        assert_eq!(round_trip(statistics), Some(micros(5_200)));
    }

    #[test]
    fn statistics_that_tell_nothing_are_passed_over() {
        for nothing in ["", "[]", "{}", r#"{"brokers":{"a":{"nodeid":1}}}"#] {
            assert_eq!(round_trip(nothing.as_bytes()), None, "{nothing}");
        }
    }
}
