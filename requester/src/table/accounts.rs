//! What is counted when a call ends, and what an adaptive limit learns from it.

use std::time::Duration;

use antiphon_common::metrics::RequesterMetrics;
use antiphon_common::{Code, Outcome};

use super::adaptive::AdaptiveLimit;
use super::moment::Moment;
use super::waiting::{Ended, Waiting};
use crate::call::{CallErrorKind, Failure};

/// The metrics of the calls of one instance, and their adaptive limit.
#[derive(Debug)]
pub(crate) struct Accounts {
    limit: Option<AdaptiveLimit>,
    pub(crate) metrics: RequesterMetrics,
}

impl Accounts {
    pub(crate) fn new(limit: Option<AdaptiveLimit>, metrics: RequesterMetrics) -> Self {
        let accounts = Self { limit, metrics };
        accounts.show_limit();
        accounts
    }

    /// The adaptive limit, if there is one.
    pub(crate) fn limit(&self) -> Option<usize> {
        self.limit.as_ref().map(AdaptiveLimit::limit)
    }

    /// Counts a call that has ended. `in_flight` is the number of the others.
    pub(crate) fn ended(&self, waiting: &Waiting, ended: &Ended, in_flight: usize, now: Moment) {
        let metrics = &self.metrics;
        match ended {
            Ok(_) => self.answered(waiting.sent_at, None, in_flight, now),
            Err(Failure { kind: CallErrorKind::Status(status), .. }) => {
                self.answered(waiting.sent_at, Some(status.code()), in_flight, now);
            }
            Err(Failure { kind: CallErrorKind::Timeout, .. }) => {
                metrics.timeouts.inc();
                self.overload(waiting.sent_at, now);
            }
            Err(Failure { outcome: Outcome::NotSent, .. }) => metrics.not_sent.inc(),
            Err(_) => metrics.unknown.inc(),
        }
    }

    /// Counts a call that was answered, by an error if there is a code.
    pub(crate) fn answered(
        &self,
        sent_at: Moment,
        error: Option<Code>,
        in_flight: usize,
        now: Moment,
    ) {
        let round_trip = Duration::from_nanos(now.0.saturating_sub(sent_at.0));
        self.metrics.round_trip.observe(round_trip.as_secs_f64());
        match error {
            None => self.metrics.replies.inc(),
            Some(_) => self.metrics.error_replies.inc(),
        }
        if let Some(Code::ResourceExhausted | Code::Unavailable) = error {
            self.overload(sent_at, now);
        } else if let Some(limit) = &self.limit {
            limit.on_reply(sent_at, in_flight, now);
            self.show_limit();
        }
    }

    fn overload(&self, sent_at: Moment, now: Moment) {
        if let Some(limit) = &self.limit {
            limit.on_overload(sent_at, now);
            self.show_limit();
        }
    }

    fn show_limit(&self) {
        if let Some(limit) = self.limit() {
            self.metrics.in_flight_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        }
    }
}
