//! The metrics of a replier.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::SECONDS;

/// Why requests are refused: the values of the label `reason`.
const REJECTIONS: [&str; 4] = ["headers", "reply_headers", "reply_topic", "endpoint"];

/// What cancel records found: the values of the label `found`.
const FOUND: [&str; 3] = ["queued", "running", "unknown"];

/// The metrics of one replier, or of several that share them. Cloning shares.
#[derive(Debug, Clone)]
pub struct ReplierMetrics {
    /// `antiphon_replier_running`: handlers that run.
    pub running: IntGauge,
    /// `antiphon_replier_outstanding`: requests taken in and not yet completed.
    pub outstanding: IntGauge,
    /// `antiphon_replier_expired_total`: requests skipped because their deadline had passed.
    pub expired: IntCounter,
    /// `antiphon_replier_reply_failures_total`: replies that the broker did not take.
    pub reply_failures: IntCounter,
    /// `antiphon_replier_commit_lag`: requests completed whose offsets are not yet committed.
    pub commit_lag: IntGauge,
    /// `antiphon_replier_assigned_partitions`: partitions this replier holds.
    pub assigned_partitions: IntGauge,
    /// `antiphon_replier_rebalances_total`: assignments and revocations.
    pub rebalances: IntCounter,
    requests: IntCounterVec,
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
        registry.register(Box::new(self.reply_failures.clone()))?;
        registry.register(Box::new(self.commit_lag.clone()))?;
        registry.register(Box::new(self.assigned_partitions.clone()))?;
        registry.register(Box::new(self.rebalances.clone()))?;
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

    fn try_new() -> prometheus::Result<Self> {
        let requests = Opts::new(
            "antiphon_replier_requests_total",
            "Requests that a handler took, by endpoint and how they ended.",
        );
        let rejected = Opts::new(
            "antiphon_replier_rejected_total",
            "Requests that were refused before any handler ran.",
        );
        let seconds =
            HistogramOpts::new("antiphon_replier_handler_seconds", "How long handlers took.");
        let rejected = IntCounterVec::new(rejected, &["reason"])?;
        // A counter that appears with its first event has no rise that an alert could see.
        for reason in REJECTIONS {
            rejected.with_label_values(&[reason]);
        }
        let cancellations = Opts::new(
            "antiphon_replier_cancellations_total",
            "Cancel records, by what they found: a request queued, running, or none.",
        );
        let cancellations = IntCounterVec::new(cancellations, &["found"])?;
        for found in FOUND {
            cancellations.with_label_values(&[found]);
        }
        Ok(Self {
            running: IntGauge::new("antiphon_replier_running", "Handlers that run.")?,
            outstanding: IntGauge::new(
                "antiphon_replier_outstanding",
                "Requests taken in and not yet completed.",
            )?,
            expired: IntCounter::new(
                "antiphon_replier_expired_total",
                "Requests skipped because their deadline had passed.",
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

impl Default for ReplierMetrics {
    fn default() -> Self {
        Self::new()
    }
}
