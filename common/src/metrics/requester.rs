//! The metrics of a requester.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::SECONDS;

/// The metrics of one requester, or of several that share them. Cloning shares.
#[derive(Debug, Clone)]
pub struct RequesterMetrics {
    /// `antiphon_requester_in_flight`: calls that wait for a reply.
    pub in_flight: IntGauge,
    /// `antiphon_requester_in_flight_limit`: how many may, where that is adaptive; else 0.
    pub in_flight_limit: IntGauge,
    /// `antiphon_requester_round_trip_seconds`: from send to reply.
    pub round_trip: Histogram,
    /// Calls that ended with a reply.
    pub replies: IntCounter,
    /// Calls that ended with an error reply.
    pub error_replies: IntCounter,
    /// Calls that ended by their deadline.
    pub timeouts: IntCounter,
    /// Calls that failed and may have been executed.
    pub unknown: IntCounter,
    /// Calls that failed before anything was sent.
    pub not_sent: IntCounter,
    /// Calls that were dropped by the caller.
    pub cancelled: IntCounter,
    /// `antiphon_requester_late_replies_total`: replies to this instance that no call waits for
    /// any more, late or duplicate ones.
    pub late_replies: IntCounter,
    /// `antiphon_requester_foreign_replies_total`: replies to other instances.
    pub foreign_replies: IntCounter,
    /// `antiphon_requester_malformed_replies_total`: records that are not replies.
    pub malformed_replies: IntCounter,
    /// `antiphon_requester_unverified_replies_total`: replies without a good signature, where
    /// `requester.integrity` asks for one.
    pub unverified_replies: IntCounter,
    /// `antiphon_requester_unopened_replies_total`: replies whose payload does not open, or is not
    /// sealed where `requester.encryption` asks for it.
    pub unopened_replies: IntCounter,
    /// `antiphon_requester_reply_partitions`: reply partitions that are being read.
    pub reply_partitions: IntGauge,
    /// `antiphon_requester_unauthorized`: requesters that may not read their reply topic.
    pub unauthorized: IntGauge,
    /// `antiphon_requester_leased_partitions`: reply partitions that are leased.
    pub leased_partitions: IntGauge,
    /// `antiphon_requester_lease_moves_total`: moves to another reply partition.
    pub lease_moves: IntCounter,
    /// `antiphon_requester_attempts_total`: retries and hedges that were sent.
    pub attempts: IntCounter,
    /// `antiphon_requester_ticket_replies_total`: replies to tickets that came by while no call waits
    /// for them.
    pub ticket_replies: IntCounter,
    /// `antiphon_requester_packed_requests_total`: requests that left in a record with others.
    pub packed_requests: IntCounter,
    /// `antiphon_requester_ticket_scans_total`: scans of reply partitions for tickets.
    pub ticket_scans: IntCounter,
    calls: IntCounterVec,
}

impl RequesterMetrics {
    /// Makes metrics that no registry knows yet.
    #[must_use]
    pub fn new() -> Self {
        Self::try_new().expect("the names and labels are valid")
    }

    /// Adds the metrics to a registry.
    ///
    /// # Errors
    /// If the registry has metrics of these names already: let requesters that are scraped
    /// together share one `RequesterMetrics`.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.in_flight.clone()))?;
        registry.register(Box::new(self.in_flight_limit.clone()))?;
        registry.register(Box::new(self.calls.clone()))?;
        registry.register(Box::new(self.round_trip.clone()))?;
        registry.register(Box::new(self.packed_requests.clone()))?;
        registry.register(Box::new(self.late_replies.clone()))?;
        registry.register(Box::new(self.foreign_replies.clone()))?;
        registry.register(Box::new(self.malformed_replies.clone()))?;
        registry.register(Box::new(self.unverified_replies.clone()))?;
        registry.register(Box::new(self.unopened_replies.clone()))?;
        registry.register(Box::new(self.reply_partitions.clone()))?;
        registry.register(Box::new(self.unauthorized.clone()))?;
        registry.register(Box::new(self.leased_partitions.clone()))?;
        registry.register(Box::new(self.lease_moves.clone()))?;
        registry.register(Box::new(self.attempts.clone()))?;
        registry.register(Box::new(self.ticket_replies.clone()))?;
        registry.register(Box::new(self.ticket_scans.clone()))
    }

    fn try_new() -> prometheus::Result<Self> {
        let calls = IntCounterVec::new(
            Opts::new("antiphon_requester_calls_total", "Calls by how they ended."),
            &["outcome"],
        )?;
        let outcome = |label| calls.with_label_values(&[label]);
        let round_trip = HistogramOpts::new(
            "antiphon_requester_round_trip_seconds",
            "Time from sending a request to its reply.",
        );
        Ok(Self {
            in_flight: IntGauge::new(
                "antiphon_requester_in_flight",
                "Calls that wait for a reply.",
            )?,
            in_flight_limit: IntGauge::new(
                "antiphon_requester_in_flight_limit",
                "Calls that may wait for a reply, where that is adaptive; else 0.",
            )?,
            round_trip: Histogram::with_opts(round_trip.buckets(SECONDS.to_vec()))?,
            replies: outcome("reply"),
            error_replies: outcome("error_reply"),
            timeouts: outcome("timeout"),
            unknown: outcome("unknown"),
            not_sent: outcome("not_sent"),
            cancelled: outcome("cancelled"),
            packed_requests: IntCounter::new(
                "antiphon_requester_packed_requests_total",
                "Requests that left in a record with others.",
            )?,
            late_replies: IntCounter::new(
                "antiphon_requester_late_replies_total",
                "Replies that no call waits for any more.",
            )?,
            foreign_replies: IntCounter::new(
                "antiphon_requester_foreign_replies_total",
                "Replies to other instances, which were skipped.",
            )?,
            malformed_replies: IntCounter::new(
                "antiphon_requester_malformed_replies_total",
                "Records in the reply topic that are not replies.",
            )?,
            unverified_replies: IntCounter::new(
                "antiphon_requester_unverified_replies_total",
                "Replies without a good signature, which were dropped.",
            )?,
            unauthorized: IntGauge::new(
                "antiphon_requester_unauthorized",
                "Requesters that may not read their reply topic.",
            )?,
            unopened_replies: IntCounter::new(
                "antiphon_requester_unopened_replies_total",
                "Replies whose payload does not open, or is not sealed where it must be.",
            )?,
            reply_partitions: IntGauge::new(
                "antiphon_requester_reply_partitions",
                "Reply partitions that are being read.",
            )?,
            leased_partitions: IntGauge::new(
                "antiphon_requester_leased_partitions",
                "Reply partitions that are leased through the group.",
            )?,
            lease_moves: IntCounter::new(
                "antiphon_requester_lease_moves_total",
                "Moves to another reply partition.",
            )?,
            attempts: IntCounter::new(
                "antiphon_requester_attempts_total",
                "Retries and hedges that were made.",
            )?,
            ticket_replies: IntCounter::new(
                "antiphon_requester_ticket_replies_total",
                "Replies to tickets that came by.",
            )?,
            ticket_scans: IntCounter::new(
                "antiphon_requester_ticket_scans_total",
                "Scans of reply partitions for the replies to tickets.",
            )?,
            calls,
        })
    }
}

impl Default for RequesterMetrics {
    fn default() -> Self {
        Self::new()
    }
}
