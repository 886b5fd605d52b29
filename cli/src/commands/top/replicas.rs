//! What is known of the replicas after asking: sorted by replica, compared with the time before.

use std::collections::{BTreeMap, BTreeSet};

use antiphon::service::{EndpointStats, Info, Stats};
use serde_json::{Value, json};

use super::asked::Answer;

/// All that answered, by their ids, and the partitions that nobody answered for.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    pub(super) all: BTreeMap<String, Replica>,
    /// By topic and partition, why.
    pub(super) silent: BTreeMap<(String, i32), String>,
    /// How many requests wait in each partition, as far as that can be seen.
    pub(super) lags: BTreeMap<(String, i32), i64>,
}

#[derive(Debug)]
pub(super) struct Replica {
    pub(super) info: Info,
    pub(super) stats: Stats,
    pub(super) held: BTreeSet<(String, i32)>,
    /// Requests a second, by endpoint, since the time before.
    pub(super) rates: BTreeMap<String, f64>,
}

impl Replicas {
    pub(super) fn of(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut replicas = Self::default();
        for Answer { topic, partition, said } in answers {
            match said {
                Ok((info, stats)) => {
                    let id = info.asked.replica.clone();
                    let new =
                        || Replica { info, stats, held: BTreeSet::new(), rates: BTreeMap::new() };
                    let replica = replicas.all.entry(id).or_insert_with(new);
                    replica.held.insert((topic, partition));
                }
                Err(why) => {
                    replicas.silent.insert((topic, partition), why);
                }
            }
        }
        replicas
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Computes rates from what replicas had done the time before, by their own clocks.
    pub(super) fn compare(&mut self, before: &Self) {
        for (id, replica) in &mut self.all {
            let Some(earlier) = before.all.get(id) else { continue };
            let passed = replica.stats.uptime_ms.saturating_sub(earlier.stats.uptime_ms);
            if passed == 0 {
                continue;
            }
            for (name, stats) in &replica.stats.endpoints {
                let done = earlier.stats.endpoints.get(name).map_or(0, done);
                let more = self::done(stats).saturating_sub(done);
                replica.rates.insert(name.clone(), more as f64 * 1000.0 / passed as f64);
            }
        }
    }

    /// A JSON object for each replica, and for each topic with partitions that are silent.
    pub(super) fn lines(&self) -> Vec<Value> {
        let mut lines: Vec<Value> = self.all.values().map(|replica| self.line(replica)).collect();
        let topics: BTreeSet<&str> = self.silent.keys().map(|(topic, _)| &**topic).collect();
        lines.extend(topics.into_iter().map(|topic| {
            let of = self.silent.iter().filter(|((silent, _), _)| silent == topic);
            let partitions: BTreeMap<String, &String> =
                of.map(|((_, partition), why)| (partition.to_string(), why)).collect();
            json!({"topic": topic, "unanswered": partitions})
        }));
        lines
    }

    fn line(&self, replica: &Replica) -> Value {
        let mut partitions: BTreeMap<&str, BTreeMap<String, Option<i64>>> = BTreeMap::new();
        for place in &replica.held {
            let lag = self.lags.get(place).copied();
            partitions.entry(&place.0).or_default().insert(place.1.to_string(), lag);
        }
        json!({
            "replica": replica.info.asked.replica,
            "info": replica.info,
            "stats": replica.stats,
            "lag_by_partition": partitions,
            "per_s": replica.rates,
        })
    }
}

/// How many requests came to an end at an endpoint.
pub(super) fn done(stats: &EndpointStats) -> u64 {
    [stats.ok, stats.error, stats.panicked, stats.timed_out, stats.cancelled]
        .into_iter()
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(replica: &str, partition: i32, uptime_ms: u64, ok: u64) -> Answer {
        let mut info = Info::default();
        info.asked.replica = replica.to_owned();
        let stats = EndpointStats { ok, ..EndpointStats::default() };
        let endpoints = BTreeMap::from([("get".to_owned(), stats)]);
        let stats = Stats { uptime_ms, endpoints, ..Stats::default() };
        Answer { topic: "t".into(), partition, said: Ok((info, stats)) }
    }

    #[test]
    fn a_replica_has_all_its_partitions_and_rates_by_its_own_clock() {
        let before = Replicas::of([answer("a", 0, 1_000, 5), answer("b", 1, 1_000, 9)]);
        let silent = Answer { topic: "t".into(), partition: 3, said: Err("late".into()) };
        let now = [answer("a", 0, 3_000, 25), answer("a", 2, 3_000, 25), silent];
        let mut now = Replicas::of(now);
        now.compare(&before);
        let a = &now.all["a"];
        assert_eq!(a.held, [("t".into(), 0), ("t".into(), 2)].into());
        assert_eq!(a.rates, [("get".into(), 10.0)].into());
        assert!(!now.all.contains_key("b"));
        let lines = now.lines();
        assert_eq!((lines.len(), &lines[1]["unanswered"]["3"]), (2, &"late".into()), "{lines:?}");
    }

    #[test]
    fn a_replica_that_is_new_or_started_again_has_no_rate() {
        let before = Replicas::of([answer("a", 0, 9_000, 50)]);
        let mut now = Replicas::of([answer("a", 0, 1_000, 5), answer("b", 1, 1_000, 5)]);
        now.compare(&before);
        assert!(now.all.values().all(|replica| replica.rates.is_empty()));
    }
}
