//! Compression bombs: few bytes on the wire that grow to many. What a Zstandard batch grows to is
//! bounded by `receive.message.max.bytes`; what grows beyond is stepped over, on both sides, and what
//! lies behind it is not lost.

use antiphon::Replier;
use antiphon::requester::RawRequest;

use crate::support::asking::{build, requester};
use crate::support::bombs::{bomb, careful};
use crate::support::brokers::{QUOTES, REPLIES, embedded};
use crate::support::records::{committed, ends};
use crate::support::replying::{echo, run, start};
use crate::support::waiting::{LIMIT, bounded, eventually};

/// Records of a bomb, of a megabyte each.
const RECORDS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_grow_beyond_the_limit_are_stepped_over_and_no_others() {
    let broker = embedded(2);
    let replier = Replier::builder(careful(&broker)).group("repliers").service(echo(QUOTES));
    let replier = run(replier).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let ask = |payload: &'static str| {
        requester.ask(RawRequest::new(QUOTES, payload)).partition(0).timeout(LIMIT).send()
    };
    let count = u64::try_from(RECORDS).unwrap();
    for _ in 0..2 {
        assert_eq!(bomb(&broker, QUOTES, "zstd", RECORDS), None);
        let behind = ask("behind it");
        assert_eq!(bomb(&broker, QUOTES, "zstd", RECORDS), None);
        assert_eq!(bounded("what is behind a bomb", behind).await.unwrap().payload, "behind it");
    }
    eventually("all bombs are refused", || {
        replier.metrics.rejected("unpacking").get() == 4 * count
    })
    .await;
    eventually("they are committed", || {
        committed(&broker, "repliers", QUOTES)[0] == i64::try_from(4 * count + 2).unwrap()
    })
    .await;
    replier.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_grow_beyond_the_limit_are_stepped_over_and_no_others() {
    let broker = embedded(1);
    let replier = start(&broker, echo(QUOTES)).await;
    let builder = antiphon::Requester::builder(careful(&broker)).reply_topic(REPLIES);
    let (requester, metrics) = build(builder).await;
    for round in 1..=2 {
        assert_eq!(bomb(&broker, REPLIES, "zstd", RECORDS), None);
        let behind = requester.ask(RawRequest::new(QUOTES, "behind it")).timeout(LIMIT).send();
        assert_eq!(bounded("a reply behind a bomb", behind).await.unwrap().payload, "behind it");
        let skipped = u64::try_from(round * RECORDS).unwrap();
        assert_eq!(metrics.malformed_replies.get(), skipped);
    }
    replier.stop().await.unwrap();
}

/// What librdkafka bounds by nothing is unpacked, and each record is seen for what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bombs_are_unpacked_and_each_record_is_refused() {
    let broker = embedded(1);
    let replier = Replier::builder(careful(&broker)).group("repliers").service(echo(QUOTES));
    let replier = run(replier).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let codecs = ["gzip", "lz4", "snappy"];
    for codec in codecs {
        assert_eq!(bomb(&broker, QUOTES, codec, RECORDS), None);
        let behind = requester.ask(RawRequest::new(QUOTES, codec)).timeout(LIMIT).send();
        assert_eq!(bounded(codec, behind).await.unwrap().payload, codec);
    }
    let refused = u64::try_from(codecs.len() * RECORDS).unwrap();
    assert_eq!(replier.metrics.rejected("reply_topic").get(), refused);
    assert_eq!(ends(&broker, REPLIES), [3]);
    replier.stop().await.unwrap();
}
