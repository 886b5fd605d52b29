//! Anyone who may write to a request topic may write anything. Whatever it is, the replier goes
//! on, writes to no topic that is forbidden, and does not get stuck at it.

use antiphon::Requester;
use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::requester::RawRequest;
use antiphon::{Context, Router, Status};
use antiphon_testkit::TestBroker;

use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::forgery::Forged;
use crate::support::records::{committed, ends, read_all};
use crate::support::replying::{Running, start};
use crate::support::waiting::{bounded, eventually};

/// What becomes of a hostile record.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Counted as rejected, for this reason; nobody is answered.
    Rejected(&'static str),
    /// Answered under this correlation id: it is odd, but no more.
    Answered(&'static [u8]),
    /// Handled, but the reply cannot be delivered.
    Undeliverable,
}

const ID: &[u8] = b"0123456789abcdef";

fn good() -> Forged {
    Forged::new(b"hostile").header("kafka_correlationId", ID).header("kafka_replyTopic", REPLIES)
}

fn to(reply_topic: &str) -> Forged {
    good().without("kafka_replyTopic").header("kafka_replyTopic", reply_topic)
}

fn with_id(id: &[u8]) -> Forged {
    good().without("kafka_correlationId").header("kafka_correlationId", id)
}

fn many(count: usize, value: &[u8]) -> Forged {
    (0..count).fold(good(), |record, number| record.header(format!("h{number}"), value))
}

fn hostile() -> Vec<(&'static str, Forged, Fate)> {
    use Fate::{Answered, Rejected, Undeliverable};
    let partition = |value: &[u8]| good().header("kafka_replyPartition", value);
    vec![
        ("100 headers", many(98, b""), Rejected("headers")),
        ("9 KiB of headers", many(9, &[0; 1024]), Rejected("headers")),
        ("100,000 headers", many(100_000, b""), Rejected("headers")),
        ("more headers claimed than there are", good().claiming(3), Rejected("headers")),
        ("fewer than no headers claimed", good().claiming(-5), Rejected("reply_headers")),
        ("2^40 headers claimed", good().claiming(1 << 40), Rejected("headers")),
        ("no headers at all", Forged::new(b"hostile"), Rejected("reply_headers")),
        ("no correlation id", good().without("kafka_correlationId"), Rejected("reply_headers")),
        ("an empty correlation id", with_id(b""), Rejected("reply_headers")),
        (
            "a correlation id of null",
            good().null_header("kafka_correlationId"),
            Rejected("reply_headers"),
        ),
        ("no reply topic", good().without("kafka_replyTopic"), Rejected("reply_headers")),
        (
            "a reply topic that is not UTF-8",
            good().header("kafka_replyTopic", b"\xff\xfe"),
            Rejected("reply_headers"),
        ),
        ("a reply partition of 3 bytes", partition(b"\0\0\0"), Rejected("reply_headers")),
        ("a reply partition of -1", partition(&[0xff; 4]), Rejected("reply_headers")),
        ("a reply partition of 9999", partition(&9999_i32.to_be_bytes()), Undeliverable),
        ("a reply topic that nothing allows", to("payments"), Rejected("reply_topic")),
        ("an internal reply topic", to("__consumer_offsets"), Rejected("reply_topic")),
        ("the request topic as reply topic", to(QUOTES), Rejected("reply_topic")),
        ("a dead-letter topic as reply topic", to("quotes.dlq"), Rejected("reply_topic")),
        ("a reply topic with a NUL", to("quotes.replies\0x"), Rejected("reply_topic")),
        ("a reply topic out of its folder", to("../quotes.replies"), Rejected("reply_topic")),
        (
            "two reply topics, the allowed one first",
            good().header("kafka_replyTopic", "payments"),
            Rejected("reply_topic"),
        ),
        (
            "a name that is cut at a NUL, and then is the reply topic's",
            good().header("kafka_replyTopic\0x", "payments"),
            Rejected("reply_topic"),
        ),
        (
            "two reply topics, the allowed one last",
            to("payments").header("kafka_replyTopic", REPLIES).header("kafka_correlationId", b"a"),
            Answered(b"a"),
        ),
        ("two correlation ids", good().header("kafka_correlationId", b"last"), Answered(b"last")),
        ("a name that is not UTF-8", with_id(b"b").header(b"\xff\xc0", b"x"), Answered(b"b")),
        ("a name with a NUL", with_id(b"c").header(b"a\0b", b"x"), Answered(b"c")),
        ("a name that is empty", with_id(b"d").header(b"", b"x"), Answered(b"d")),
        ("an empty payload", with_id(b"e").empty_payload(), Answered(b"e")),
        ("a null payload", with_id(b"f").null_payload(), Answered(b"f")),
        ("a correlation id of 4 KiB", with_id(&[b'l'; 4096]), Answered(&[b'l'; 4096])),
        (
            "status headers on a request",
            with_id(b"g").header("antiphon-status", "OK"),
            Answered(b"g"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replier_goes_on_after_each_hostile_record() {
    let broker = embedded(1);
    let forbidden = ["payments", "__consumer_offsets", "quotes.dlq"];
    for topic in forbidden {
        broker.create_topic(topic, 1).unwrap();
    }
    let router = Router::new().handle_any(QUOTES, |request: Asked, _: Context| async move {
        Ok::<_, Status>(RawReply::new(request.payload))
    });
    let replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;

    let cases = hostile();
    let written = i64::try_from(2 * cases.len()).unwrap();
    let mut answered = i64::try_from(cases.len()).unwrap();
    for (what, record, fate) in cases {
        let before = rejections(&replier);
        let undelivered = replier.metrics.reply_failures.get();
        record.send(&broker, QUOTES, 0);
        answer_to_a_good_request(&requester, what).await;
        // There is one partition, so intake has seen the record when the request after it is answered.
        let expected = match fate {
            Fate::Rejected(reason) => {
                before.map(|(known, count)| (known, count + u64::from(known == reason)))
            }
            Fate::Answered(_) | Fate::Undeliverable => before,
        };
        assert_eq!(rejections(&replier), expected, "{what}: {fate:?}");
        match fate {
            Fate::Rejected(_) => {}
            Fate::Undeliverable => {
                eventually(what, || replier.metrics.reply_failures.get() == undelivered + 1).await;
            }
            Fate::Answered(id) => {
                answered += 1;
                eventually(what, || is_answered(&broker, id)).await;
            }
        }
    }
    // Not stuck: everything is complete, and committed.
    eventually("all requests are complete", || replier.metrics.outstanding.get() == 0).await;
    eventually("all offsets are committed", || committed(&broker, "repliers", QUOTES) == [written])
        .await;
    assert_eq!(ends(&broker, QUOTES), [written], "nothing was written to the request topic");
    assert_eq!(ends(&broker, REPLIES), [answered]);
    for topic in forbidden {
        assert_eq!(ends(&broker, topic), [0], "nothing was written to {topic}");
    }
    replier.stop().await.unwrap();
}

async fn answer_to_a_good_request(requester: &Requester, what: &str) {
    let call = requester.ask(RawRequest::new(QUOTES, what.to_owned())).send();
    let reply = bounded(what, call).await.unwrap_or_else(|error| panic!("after {what}: {error}"));
    assert_eq!(reply.payload, what.to_owned());
}

fn rejections(replier: &Running) -> [(&'static str, u64); 4] {
    ["headers", "reply_headers", "reply_topic", "endpoint"]
        .map(|reason| (reason, replier.metrics.rejected(reason).get()))
}

fn is_answered(broker: &TestBroker, id: &[u8]) -> bool {
    read_all(broker, REPLIES).iter().any(|r| r.header("kafka_correlationId") == Some(id))
}
