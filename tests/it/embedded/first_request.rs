//! A requester that was just built misses no reply, not even the first one.

use antiphon::Requester;
use antiphon::config::ReplyPartition;
use antiphon::requester::RawRequest;

use crate::support::asking::build;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::forgery::{Forged, Forger};
use crate::support::replying::{echo, start};
use crate::support::waiting::bounded;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_reply_is_never_missed() {
    let broker = embedded(3);
    let _replier = start(&broker, echo(QUOTES)).await;
    for routing in [ReplyPartition::Auto, ReplyPartition::Shared, ReplyPartition::Fixed(1)] {
        for round in 0..50 {
            let builder = Requester::builder(settings(&broker)).reply_topic(REPLIES);
            let (requester, metrics) = build(builder.reply_partition(routing)).await;
            let question = format!("{routing}, {round}");
            let reply = requester.ask(RawRequest::new(QUOTES, question.clone())).await;
            assert_eq!(reply.unwrap_or_else(|e| panic!("{question}: {e}")).payload, question);
            // It starts at the end, so the replies to those before it are not read again.
            assert_eq!(metrics.foreign_replies.get(), 0, "{question}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_there_before_anyone_could_have_sent_it_is_read() {
    let broker = embedded(1);
    for round in 0..50 {
        let mut forger = Forger::connect(&broker);
        let (requester, _) =
            build(Requester::builder(settings(&broker)).reply_topic(REPLIES)).await;
        let call = requester.ask(RawRequest::new(QUOTES, "?")).send();
        let id = call.correlation_id().unwrap().to_bytes();
        let reply = Forged::new(b"!").header("kafka_correlationId", id);
        forger.send(&reply, REPLIES, 0);
        let reply = bounded("the call", call).await;
        assert_eq!(reply.unwrap_or_else(|e| panic!("round {round}: {e}")).payload, "!");
    }
}
