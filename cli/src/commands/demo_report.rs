//! What the demo found: counts, latencies, and whether everything was right.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon::CallError;
use serde::Serialize;

use crate::exit::{ERROR_REPLY, Failure, UNKNOWN};
use crate::latencies::Latencies;
use crate::report::{LatencyReport, LoadReport, per_call, rate};

/// Calls that ended and were compared with their requests.
pub(crate) struct Verified {
    pub(crate) latencies: Latencies,
    /// Right replies by the replier that gave them.
    by_replier: BTreeMap<u16, u64>,
    wrong: u64,
    missing: u64,
    first_error: Option<CallError>,
    first_reply: Option<Duration>,
}

/// The field names are the keys of `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct DemoReport {
    #[serde(flatten)]
    load: LoadReport,
    verified: u64,
    missing: u64,
    wrong: u64,
    duplicated: u64,
    first_reply_ms: u128,
    by_replier: BTreeMap<u16, u64>,
}

impl Default for Verified {
    fn default() -> Self {
        Self {
            latencies: Latencies::new(),
            by_replier: BTreeMap::new(),
            wrong: 0,
            missing: 0,
            first_error: None,
            first_reply: None,
        }
    }
}

impl Verified {
    /// Takes a call: `by` is the replier that answered it, `None` if the reply is not to it.
    pub(crate) fn take(
        &mut self,
        latency: Duration,
        by: Result<Option<u16>, CallError>,
        now: Duration,
    ) {
        match by {
            Ok(Some(replier)) => {
                self.latencies.record(latency);
                *self.by_replier.entry(replier).or_default() += 1;
                self.first_reply.get_or_insert(now);
            }
            Ok(None) => self.wrong += 1,
            Err(error) => {
                self.missing += 1;
                self.first_error.get_or_insert(error);
            }
        }
    }

    /// Both together.
    pub(crate) fn add(mut self, other: Self) -> Self {
        self.latencies.add(&other.latencies);
        for (replier, replies) in other.by_replier {
            *self.by_replier.entry(replier).or_default() += replies;
        }
        self.wrong += other.wrong;
        self.missing += other.missing;
        self.first_error = self.first_error.or(other.first_error);
        self.first_reply = self.first_reply.into_iter().chain(other.first_reply).min();
        self
    }
}

impl DemoReport {
    pub(crate) fn new(
        requests: u64,
        in_flight: u32,
        elapsed: Duration,
        cpu_used: Duration,
        verified: &Verified,
        written: u64,
    ) -> Self {
        let ok: u64 = verified.by_replier.values().sum();
        Self {
            load: LoadReport {
                requests,
                ok,
                errors: requests - ok,
                in_flight: in_flight as usize,
                throughput_per_s: rate(ok, elapsed),
                latency: LatencyReport::of(&verified.latencies),
                cpu_us_per_request: per_call(cpu_used, requests),
            },
            verified: ok,
            missing: verified.missing,
            wrong: verified.wrong,
            duplicated: written.saturating_sub(ok + verified.wrong),
            first_reply_ms: verified.first_reply.unwrap_or_default().as_millis(),
            by_replier: verified.by_replier.clone(),
        }
    }

    /// The result for people.
    pub(crate) fn text(&self) -> String {
        let shares: Vec<_> = self.by_replier.values().map(ToString::to_string).collect();
        format!(
            "{} of {} replies verified: {} missing, {} wrong, {} duplicated\n\
             first reply after {} ms, {} requests/s, by replier: {}\n{}",
            self.verified,
            self.load.requests,
            self.missing,
            self.wrong,
            self.duplicated,
            self.first_reply_ms,
            self.load.throughput_per_s,
            shares.join(" + "),
            self.load.latency.table(),
        )
    }

    /// Success only if every request has exactly one reply and it is the right one.
    pub(crate) fn verdict(&self, verified: &Verified) -> Result<(), Failure> {
        if let Some(error) = &verified.first_error {
            eprintln!("error: {} calls failed; the first: {error}", self.missing);
            return Err(Failure::said(UNKNOWN));
        }
        if self.verified != self.load.requests || self.duplicated > 0 {
            eprintln!("error: {} replies wrong, {} duplicated", self.wrong, self.duplicated);
            return Err(Failure::said(ERROR_REPLY));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(answers: &[Option<u16>], written: u64) -> Result<(), Failure> {
        let mut verified = Verified::default();
        for answer in answers {
            verified.take(Duration::from_millis(1), Ok(*answer), Duration::ZERO);
        }
        let second = Duration::from_secs(1);
        DemoReport::new(2, 1, second, second, &verified, written).verdict(&verified)
    }

    #[test]
    fn one_right_reply_for_each_request_and_nothing_else() {
        assert!(report(&[Some(0), Some(1)], 2).is_ok());
        assert!(report(&[Some(0), None], 2).is_err(), "a wrong reply");
        assert!(report(&[Some(0), Some(1)], 3).is_err(), "a duplicate");
        assert!(report(&[Some(0)], 1).is_err(), "a missing one");
    }
}
