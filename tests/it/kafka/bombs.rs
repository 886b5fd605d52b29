//! Compression bombs on real brokers: those of Zstandard are stepped over, and a topic that stores
//! nothing compressed takes none at all, which `SECURITY.md` tells users to rely on.

use antiphon::Replier;
use antiphon::requester::RawRequest;
use antiphon_testkit::TopicSpec;
use rdkafka::error::RDKafkaErrorCode;

use crate::support::asking::requester;
use crate::support::bombs::{bomb, careful};
use crate::support::brokers::{kafka, topics};
use crate::support::replying::{echo, run};
use crate::support::waiting::{LIMIT, bounded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bomb_that_a_broker_takes_is_stepped_over() {
    let (quotes, replies) = topics("bombs", 1);
    let replier =
        run(Replier::builder(careful(kafka())).group("bombs").service(echo(&quotes))).await;
    let (requester, _) = requester(kafka(), &replies).await;
    assert_eq!(bomb(kafka(), &quotes, "zstd", 12), None, "the broker takes it");
    let behind = requester.ask(RawRequest::new(quotes, "behind it")).timeout(LIMIT).send();
    assert_eq!(bounded("what is behind a bomb", behind).await.unwrap().payload, "behind it");
    assert_eq!(replier.metrics.rejected("unpacking").get(), 12);
    replier.stop().await.unwrap();
}

#[test]
fn a_topic_that_stores_nothing_compressed_takes_no_bomb() {
    let topic = TopicSpec::new("bombs.uncompressed").config("compression.type", "uncompressed");
    kafka().create_topic_with(&topic).unwrap();
    for codec in ["gzip", "lz4", "snappy", "zstd"] {
        let refused = bomb(kafka(), "bombs.uncompressed", codec, 12);
        assert_eq!(refused, Some(RDKafkaErrorCode::MessageSizeTooLarge), "{codec}");
    }
}
