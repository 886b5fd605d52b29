//! Both group protocols: the classic one, which is the default, and the newer one (KIP-848).

use antiphon::Replier;
use antiphon::config::KafkaSettings;
use antiphon::requester::RawRequest;
use futures::future::join_all;

use crate::support::asking::requester;
use crate::support::brokers::{kafka, settings, topics, without_heartbeat};
use crate::support::records::{committed, ends};
use crate::support::replying::{echo, run};
use crate::support::waiting::{LIMIT, bounded, eventually};

/// Requests that were there before the group was are answered, and a group that comes back goes on
/// where it was.
async fn serves_from_the_beginning_and_then_from_where_it_was(
    name: &str,
    kafka_settings: KafkaSettings,
) {
    let (topic, replies) = topics(name, 3);
    let (requester, metrics) = requester(kafka(), &replies).await;
    let question = |number: usize| format!("question {number}");
    for round in 0..2 {
        let calls: Vec<_> = (0..30)
            .map(|number| {
                let ask = RawRequest::new(topic.clone(), question(number));
                requester.ask(ask).key(number.to_string()).timeout(5 * LIMIT).send()
            })
            .collect();
        let written = 30 * (round + 1);
        eventually("the requests are written", || {
            ends(kafka(), &topic).iter().sum::<i64>() == written
        })
        .await;
        let builder = Replier::builder(kafka_settings.clone()).group(name).service(echo(&topic));
        let replier = run(builder).await;
        for (number, answer) in bounded("all calls", join_all(calls)).await.into_iter().enumerate()
        {
            assert_eq!(answer.unwrap().payload, question(number), "in round {round}");
        }
        replier.stop().await.unwrap();
        assert_eq!(committed(kafka(), name, &topic), ends(kafka(), &topic));
    }
    assert_eq!((metrics.replies.get(), metrics.late_replies.get()), (60, 0));
    assert_eq!(ends(kafka(), &replies).iter().sum::<i64>(), 60, "nothing was answered twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_classic_protocol_serves_from_the_beginning_and_then_from_where_it_was() {
    let kafka_settings = settings(kafka());
    assert_eq!(kafka_settings.properties.get("group.protocol"), None, "it is the default");
    serves_from_the_beginning_and_then_from_where_it_was("protocol-classic", kafka_settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_newer_protocol_serves_from_the_beginning_and_then_from_where_it_was() {
    let newer = without_heartbeat(settings(kafka())).property("group.protocol", "consumer");
    serves_from_the_beginning_and_then_from_where_it_was("protocol-consumer", newer).await;
}
