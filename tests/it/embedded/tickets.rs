//! Replies that are taken later, by tickets, in this process or another.

mod many;
mod redeeming;
mod refused;
mod submitting;

use std::time::Duration;

use antiphon::config::ReplyPartition;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::{RawRequest, RequesterBuilder, Ticket};
use antiphon::{CallError, Requester};
use antiphon_testkit::TestBroker;

use crate::support::asking::build;
use crate::support::brokers::{QUOTES, REPLIES, settings};
use crate::support::waiting::bounded;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

fn builder(broker: &TestBroker, replies_to: ReplyPartition) -> RequesterBuilder {
    Requester::builder(settings(broker)).reply_topic(REPLIES).reply_partition(replies_to)
}

/// A requester of an instance of its own, whose replies come to the first partition.
async fn another(broker: &TestBroker) -> (Requester, RequesterMetrics) {
    build(builder(broker, ReplyPartition::Fixed(0))).await
}

async fn submit(requester: &Requester, question: &str) -> Result<Ticket, CallError> {
    let ask = requester.ask(RawRequest::new(QUOTES, question.to_owned())).timeout(LONG);
    bounded("a submission", ask.submit()).await
}
