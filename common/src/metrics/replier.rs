//! The metrics of a replier.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::SECONDS;

/// Why requests are refused: the values of the label `reason`.
const REJECTIONS: [&str; 7] =
    ["headers", "reply_headers", "reply_topic", "endpoint", "signature", "sealing", "unpacking"];

/// What cancel records found: the values of the label `found`.
const FOUND: [&str; 3] = ["queued", "running", "unknown"];

/// How requests run again: the values of the label `kind`.
const RETRIES: [&str; 2] = ["run", "topic"];

/// What a request that came again found: the values of the label `found`.
const DUPLICATES: [&str; 3] = ["reply", "running", "claim"];

/// How transactions end: the values of the label `outcome`.
const TRANSACTIONS: [&str; 3] = ["committed", "aborted", "rebuilt"];

/// The metrics of one replier, or of several that share them. Cloning shares.
#[derive(Debug, Clone)]
pub struct ReplierMetrics {
    /// `antiphon_replier_running`: handlers that run.
    pub running: IntGauge,
    /// `antiphon_replier_outstanding`: requests taken in and not yet completed.
    pub outstanding: IntGauge,
    /// `antiphon_replier_expired_total`: requests skipped because their deadline had passed.
    pub expired: IntCounter,
    /// `antiphon_replier_clock_skew_total`: requests whose callers' clocks and this machine's cannot
    /// both be right.
    pub clock_skew: IntCounter,
    /// `antiphon_replier_reply_failures_total`: replies that the broker did not take.
    pub reply_failures: IntCounter,
    /// `antiphon_replier_commit_lag`: requests completed whose offsets are not yet committed.
    pub commit_lag: IntGauge,
    /// `antiphon_replier_assigned_partitions`: partitions this replier holds.
    pub assigned_partitions: IntGauge,
    /// `antiphon_replier_rebalances_total`: assignments and revocations.
    pub rebalances: IntCounter,
    /// `antiphon_replier_outstanding_bytes`: the payloads of those requests.
    pub outstanding_bytes: IntGauge,
    /// `antiphon_replier_paused_partitions`: partitions that are held and not read just now.
    pub paused_partitions: IntGauge,
    /// `antiphon_replier_blocked_partitions`: partitions that are not read since a record that must
    /// come before the next commit cannot be written.
    pub blocked_partitions: IntGauge,
    /// `antiphon_replier_unauthorized`: 1 while this replier may not read its topics or be a member
    /// of its group.
    pub unauthorized: IntGauge,
    /// `antiphon_replier_packed_requests_total`: requests that came in a record with others.
    pub packed_requests: IntCounter,
    /// `antiphon_replier_packed_replies_total`: replies that left in a record with others.
    pub packed_replies: IntCounter,
    /// `antiphon_replier_skipped_total`: requests not handled again after a restart or a rebalance,
    /// since they were known to be complete.
    pub skipped: IntCounter,
    /// `antiphon_replier_deleted_total`: offsets that were deleted from a request topic before
    /// they were read.
    pub deleted: IntCounter,
    /// `antiphon_replier_dead_letters_total`: requests that were given up and kept.
    pub dead_letters: IntCounter,
    /// `antiphon_replier_deferred`: requests whose handlers have ended and will answer later.
    pub deferred: IntGauge,
    /// `antiphon_replier_dedupe_entries`: replies that are kept for requests that come again.
    pub dedupe_entries: IntGauge,
    requests: IntCounterVec,
    retries: IntCounterVec,
    duplicates: IntCounterVec,
    transactions: IntCounterVec,
    runtime_blocked: IntCounterVec,
    rejected: IntCounterVec,
    cancellations: IntCounterVec,
    handler_seconds: HistogramVec,
}

/// The metrics of one endpoint.
#[derive(Debug, Clone)]
pub struct HandlerMetrics {
    /// Requests that were answered well.
    pub ok: IntCounter,
    /// Requests that were answered with an error.
    pub error: IntCounter,
    /// Requests whose handler panicked.
    pub panicked: IntCounter,
    /// Requests whose handler took too long.
    pub timed_out: IntCounter,
    /// Requests that were cancelled while their handler ran.
    pub cancelled: IntCounter,
    /// How long handlers took.
    pub seconds: Histogram,
}

impl ReplierMetrics {
    /// Makes metrics that no registry knows yet.
    #[must_use]
    pub fn new() -> Self {
        Self::try_new().expect("the names and labels are valid")
    }

    /// Adds the metrics to a registry.
    ///
    /// # Errors
    /// If the registry has metrics of these names already: let repliers that are scraped together
    /// share one `ReplierMetrics`.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.running.clone()))?;
        registry.register(Box::new(self.outstanding.clone()))?;
        registry.register(Box::new(self.expired.clone()))?;
        registry.register(Box::new(self.clock_skew.clone()))?;
        registry.register(Box::new(self.reply_failures.clone()))?;
        registry.register(Box::new(self.commit_lag.clone()))?;
        registry.register(Box::new(self.assigned_partitions.clone()))?;
        registry.register(Box::new(self.rebalances.clone()))?;
        for gauge in [
            &self.outstanding_bytes,
            &self.paused_partitions,
            &self.blocked_partitions,
            &self.unauthorized,
            &self.deferred,
            &self.dedupe_entries,
        ] {
            registry.register(Box::new(gauge.clone()))?;
        }
        registry.register(Box::new(self.packed_requests.clone()))?;
        registry.register(Box::new(self.packed_replies.clone()))?;
        registry.register(Box::new(self.skipped.clone()))?;
        registry.register(Box::new(self.deleted.clone()))?;
        registry.register(Box::new(self.dead_letters.clone()))?;
        for counters in [&self.retries, &self.duplicates, &self.transactions, &self.runtime_blocked]
        {
            registry.register(Box::new(counters.clone()))?;
        }
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.rejected.clone()))?;
        registry.register(Box::new(self.cancellations.clone()))?;
        registry.register(Box::new(self.handler_seconds.clone()))
    }

    /// The metrics of an endpoint. The label is the name that the program registered.
    #[must_use]
    pub fn handler(&self, endpoint: &str) -> HandlerMetrics {
        let outcome = |label| self.requests.with_label_values(&[endpoint, label]);
        HandlerMetrics {
            ok: outcome("ok"),
            error: outcome("error"),
            panicked: outcome("panicked"),
            timed_out: outcome("timed_out"),
            cancelled: outcome("cancelled"),
            seconds: self.handler_seconds.with_label_values(&[endpoint]),
        }
    }

    /// `antiphon_replier_rejected_total`: requests that were refused before any handler ran.
    #[must_use]
    pub fn rejected(&self, reason: &'static str) -> IntCounter {
        self.rejected.with_label_values(&[reason])
    }

    /// `antiphon_replier_cancellations_total`: cancel records, by what they found: a request that
    /// was `queued`, one that was `running`, or none that they could cancel (`unknown`).
    #[must_use]
    pub fn cancellations(&self, found: &'static str) -> IntCounter {
        self.cancellations.with_label_values(&[found])
    }

    /// `antiphon_replier_retries_total`: handlers that ran again, by where the request waited: in
    /// this replier (`run`) or in a retry topic (`topic`).
    #[must_use]
    pub fn retries(&self, kind: &'static str) -> IntCounter {
        self.retries.with_label_values(&[kind])
    }

    /// `antiphon_replier_duplicates_total`: requests that came again, by what they found: the
    /// `reply` of the first, its handler `running`, or its `claim` without a reply.
    #[must_use]
    pub fn duplicates(&self, found: &'static str) -> IntCounter {
        self.duplicates.with_label_values(&[found])
    }

    /// `antiphon_replier_transactions_total`: transactions that were `committed` or `aborted`, and
    /// producers that had to be `rebuilt`.
    #[must_use]
    pub fn transactions(&self, outcome: &'static str) -> IntCounter {
        self.transactions.with_label_values(&[outcome])
    }

    /// `antiphon_replier_runtime_blocked_total`: times that a handler held a thread of the runtime
    /// for longer than `replier.watchdog_ms`. The label is the name that the program registered.
    #[must_use]
    pub fn runtime_blocked(&self, endpoint: &str) -> IntCounter {
        self.runtime_blocked.with_label_values(&[endpoint])
    }

    fn try_new() -> prometheus::Result<Self> {
        let requests = Opts::new(
            "antiphon_replier_requests_total",
            "Requests that a handler took, by endpoint and how they ended.",
        );
        let rejected = labelled(
            "antiphon_replier_rejected_total",
            "Requests that were refused before any handler ran.",
            "reason",
            &REJECTIONS,
        )?;
        let seconds =
            HistogramOpts::new("antiphon_replier_handler_seconds", "How long handlers took.");
        let cancellations = labelled(
            "antiphon_replier_cancellations_total",
            "Cancel records, by what they found: a request queued, running, or none.",
            "found",
            &FOUND,
        )?;
        let retries = labelled(
            "antiphon_replier_retries_total",
            "Handlers that ran again, by where the request waited.",
            "kind",
            &RETRIES,
        )?;
        let duplicates = labelled(
            "antiphon_replier_duplicates_total",
            "Requests that came again, by what they found.",
            "found",
            &DUPLICATES,
        )?;
        let transactions = labelled(
            "antiphon_replier_transactions_total",
            "Transactions by how they ended, and producers rebuilt.",
            "outcome",
            &TRANSACTIONS,
        )?;
        let runtime_blocked = labelled(
            "antiphon_replier_runtime_blocked_total",
            "Times that a handler held a thread of the runtime for too long.",
            "endpoint",
            &[],
        )?;
        Ok(Self {
            outstanding_bytes: IntGauge::new(
                "antiphon_replier_outstanding_bytes",
                "Payload bytes of requests taken in and not yet completed.",
            )?,
            paused_partitions: IntGauge::new(
                "antiphon_replier_paused_partitions",
                "Partitions held and not read just now.",
            )?,
            blocked_partitions: IntGauge::new(
                "antiphon_replier_blocked_partitions",
                "Partitions not read since a record before the next commit cannot be written.",
            )?,
            unauthorized: IntGauge::new(
                "antiphon_replier_unauthorized",
                "1 while the replier may not read its topics or be a member of its group.",
            )?,
            deleted: IntCounter::new(
                "antiphon_replier_deleted_total",
                "Offsets that were deleted from a request topic before they were read.",
            )?,
            packed_requests: IntCounter::new(
                "antiphon_replier_packed_requests_total",
                "Requests that came in a record with others.",
            )?,
            packed_replies: IntCounter::new(
                "antiphon_replier_packed_replies_total",
                "Replies that left in a record with others.",
            )?,
            skipped: IntCounter::new(
                "antiphon_replier_skipped_total",
                "Requests known to be complete and not handled again.",
            )?,
            dead_letters: IntCounter::new(
                "antiphon_replier_dead_letters_total",
                "Requests given up and kept in a dead-letter topic.",
            )?,
            deferred: IntGauge::new(
                "antiphon_replier_deferred",
                "Requests that will be answered after their handlers have ended.",
            )?,
            dedupe_entries: IntGauge::new(
                "antiphon_replier_dedupe_entries",
                "Replies kept for requests that come again.",
            )?,
            retries,
            duplicates,
            transactions,
            runtime_blocked,
            running: IntGauge::new("antiphon_replier_running", "Handlers that run.")?,
            outstanding: IntGauge::new(
                "antiphon_replier_outstanding",
                "Requests taken in and not yet completed.",
            )?,
            expired: IntCounter::new(
                "antiphon_replier_expired_total",
                "Requests skipped because their deadline had passed.",
            )?,
            clock_skew: IntCounter::new(
                "antiphon_replier_clock_skew_total",
                "Requests whose callers' clocks and this machine's cannot both be right.",
            )?,
            reply_failures: IntCounter::new(
                "antiphon_replier_reply_failures_total",
                "Replies that the broker did not take.",
            )?,
            commit_lag: IntGauge::new(
                "antiphon_replier_commit_lag",
                "Requests completed whose offsets are not yet committed.",
            )?,
            assigned_partitions: IntGauge::new(
                "antiphon_replier_assigned_partitions",
                "Partitions this replier holds.",
            )?,
            rebalances: IntCounter::new(
                "antiphon_replier_rebalances_total",
                "Assignments and revocations.",
            )?,
            requests: IntCounterVec::new(requests, &["endpoint", "outcome"])?,
            rejected,
            cancellations,
            handler_seconds: HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["endpoint"])?,
        })
    }
}

/// Counters with one label, whose known values are there from the start: a counter that appears with
/// its first event has no rise that an alert could see.
fn labelled(
    name: &str,
    help: &str,
    label: &str,
    values: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
    for value in values {
        counters.with_label_values(&[value]);
    }
    Ok(counters)
}

impl Default for ReplierMetrics {
    fn default() -> Self {
        Self::new()
    }
}
