//! How many produce requests a producer may have under way, by the round trip to its brokers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

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
