//! Idempotent producers that may write nothing at all get no producer id, which is fatal to the client
//! for good (`CLUSTER_AUTHORIZATION_FAILED`). Another takes its place once it may write.

use std::time::{Duration, Instant};

use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RawRequest;
use antiphon::{Outcome, Replier};
use antiphon_testkit::{Operation, Resource};

use super::revoked::{least, requester, right, user};
use super::{REPLIES, TOPIC};
use crate::support::replying::{echo, run};
use crate::support::waiting::LIMIT;

const SHORT: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_may_write_nothing_at_first_goes_on_once_granted() {
    let kafka = least();
    let requests = right("requester", Operation::Write, Resource::Topic, TOPIC);
    let replies = right("replier", Operation::Write, Resource::Topic, REPLIES);
    for missing in [&requests, &replies] {
        kafka.revoke(missing).unwrap();
    }
    let with = |name| user(&kafka, name).property("enable.idempotence", "true");
    let running = run(Replier::builder(with("replier")).group(TOPIC).service(echo(TOPIC))).await;
    let requester = requester(&with("requester"), &RequesterMetrics::new()).await;
    let ask = |time| requester.ask(RawRequest::new(TOPIC, "?")).timeout(time).send();

    // The refusal ends it, so there is time for that.
    let refused = ask(LIMIT).await.unwrap_err();
    assert_eq!(refused.outcome(), Outcome::NotSent, "{refused}");
    assert!(refused.to_string().to_lowercase().contains("authoriz"), "{refused}");

    kafka.grant(&requests).unwrap();
    let by = Instant::now() + LIMIT;
    // Sent, and handled, but the replier may not answer.
    loop {
        let unanswered = ask(SHORT).await.unwrap_err();
        println!("with the right to ask: {unanswered}");
        if unanswered.outcome() == Outcome::Unknown {
            break;
        }
        assert!(Instant::now() < by, "it goes on: {unanswered}");
    }

    kafka.grant(&replies).unwrap();
    let granted = Instant::now();
    let by = Instant::now() + LIMIT;
    loop {
        match ask(SHORT).await {
            Ok(reply) => break assert_eq!(reply.payload, "?"),
            Err(early) => assert!(Instant::now() < by, "it goes on: {early}"),
        }
    }
    println!("answered {:?} after the grant", granted.elapsed());
    running.stop().await.unwrap();
}
