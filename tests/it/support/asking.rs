//! Requesters with their metrics at hand.

use antiphon::Requester;
use antiphon::config::ReplyPartition;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RequesterBuilder;
use antiphon_testkit::TestBroker;

use super::brokers::settings;
use super::waiting::bounded;

/// A requester whose replies come to `replies`, in shared routing.
pub(crate) async fn requester(broker: &TestBroker, replies: &str) -> (Requester, RequesterMetrics) {
    let builder = Requester::builder(settings(broker)).reply_topic(replies);
    build(builder.reply_partition(ReplyPartition::Shared)).await
}

/// Builds a requester.
pub(crate) async fn build(builder: RequesterBuilder) -> (Requester, RequesterMetrics) {
    let metrics = RequesterMetrics::new();
    let built = builder.metrics(metrics.clone()).build();
    let requester = bounded("a requester starts", built).await.unwrap();
    (requester, metrics)
}

/// The number of calls that have ended, one way or another.
pub(crate) fn ended(metrics: &RequesterMetrics) -> u64 {
    [
        &metrics.replies,
        &metrics.error_replies,
        &metrics.timeouts,
        &metrics.unknown,
        &metrics.not_sent,
        &metrics.cancelled,
    ]
    .iter()
    .map(|counter| counter.get())
    .sum()
}
