//! The endpoints that every replier has.

use antiphon::requester::RawRequest as Ask;
use antiphon::service::{INFO, Info, Kind, PING, STATS, Stats};
use antiphon::{Code, Request, Router, Status};
use serde::{Deserialize, Serialize};

use super::Say;
use crate::support::asking::requester;
use crate::support::brokers::{QUOTES, REPLIES, embedded, settings};
use crate::support::replying::{echo, start};
use crate::support::waiting::eventually;

async fn say(Say(what): Say) -> Result<String, Status> {
    match what.is_empty() {
        true => Err(Status::invalid_argument("nothing to say")),
        false => Ok(what),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replier_says_what_it_is_and_does() {
    let broker = embedded(2);
    let router = echo(QUOTES).handle(say);
    let replier = start(&broker, router).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let ask = |endpoint: &'static str, partition| {
        requester.ask(Ask::new(QUOTES, "").endpoint(endpoint)).partition(partition)
    };
    assert!(ask(PING, 0).await.unwrap().payload.is_empty());
    requester.call(Say("hi".into())).await.unwrap();
    requester.call(Say(String::new())).await.unwrap_err();

    let mut replicas = Vec::new();
    for partition in 0..2 {
        let info: Info =
            serde_json::from_slice(&ask(INFO, partition).await.unwrap().payload).unwrap();
        assert_eq!((info.group.as_str(), info.asked.partition), ("repliers", partition));
        let served: Vec<_> =
            info.topics[QUOTES].iter().map(|end| (end.name.as_str(), end.kind)).collect();
        assert_eq!(served, [("*", Kind::Reply), ("say", Kind::Reply)]);
        assert_eq!((info.asked.topic.as_str(), info.settings.concurrency), (QUOTES, 256));
        replicas.push(info.asked.replica);
    }
    assert!(!replicas[0].is_empty() && replicas[0] == replicas[1]);

    // A request is complete when its reply is acknowledged, for which its caller does not wait.
    eventually("the others are complete", || replier.metrics.outstanding.get() == 0).await;
    let stats: Stats = serde_json::from_slice(&ask(STATS, 1).await.unwrap().payload).unwrap();
    assert_eq!(stats.asked.replica, replicas[0]);
    let said = &stats.endpoints["say"];
    assert_eq!((said.ok, said.error, said.panicked, said.timed_out), (1, 1, 0, 0));
    assert!(said.p50_ms.unwrap() <= said.p99_ms.unwrap());
    assert_eq!((stats.assigned_partitions, stats.outstanding), (2, 1));
    assert_eq!(stats.endpoints["*"].p50_ms, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_can_be_left_out_and_their_names_cannot_be_taken() {
    let broker = embedded(1);
    let replier = start(&broker, Router::new().handle(say).without_builtin()).await;
    let (requester, _) = requester(&broker, REPLIES).await;
    let error = requester.ask(Ask::new(QUOTES, "").endpoint(PING)).await.unwrap_err();
    assert_eq!(error.status().unwrap().code(), Code::Unimplemented);
    replier.stop().await.unwrap();

    #[derive(Serialize, Deserialize, Request)]
    #[request(topic = "quotes", endpoint = "antiphon.ping", reply = String)]
    struct Mine;

    async fn mine(_: Mine) -> Result<String, Status> {
        Ok(String::new())
    }
    let builder = antiphon::Replier::builder(settings(&broker)).group("repliers");
    let ended = builder.service(Router::new().handle(mine)).run(std::future::pending()).await;
    assert!(ended.unwrap_err().to_string().contains("`antiphon.ping`"));
}
