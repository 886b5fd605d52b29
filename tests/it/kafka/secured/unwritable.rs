//! A dead-letter topic that may not be written: its partition stands still and says so, nothing is
//! skipped, and all goes on when the right is there.

use std::time::{Duration, Instant};

use antiphon::config::ReplierSettings;
use antiphon::metrics::RequesterMetrics;
use antiphon::replier::{RawReply, RawRequest as Received};
use antiphon::requester::RawRequest;
use antiphon::{Context, Replier, Router, Status};
use antiphon_testkit::{Operation, Resource};

use super::TOPIC;
use super::revoked::{SOON_AFTER, least, requester, right, user};
use crate::support::replying::run;
use crate::support::waiting::{LIMIT, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dead_letter_that_may_not_be_written_is_waited_for() {
    let kafka = least();
    kafka.broker().create_topic("quotes.dlq", 1).unwrap();
    let write = right("replier", Operation::Write, Resource::Topic, "quotes.dlq");
    kafka.grant(&write).unwrap();
    let mut settings = ReplierSettings::default();
    settings.dead_letter.enabled = true;
    let router = Router::new().handle_any(TOPIC, |request: Received, _: Context| async move {
        match &request.payload[..] {
            b"bad" => Err(Status::internal("bad")),
            _ => Ok(RawReply::new(request.payload)),
        }
    });
    let builder = Replier::builder(user(&kafka, "replier")).group(TOPIC).settings(settings);
    let running = run(builder.service(router)).await;
    let requester = requester(&user(&kafka, "requester"), &RequesterMetrics::new()).await;
    let ask = |payload: &'static str| {
        requester.ask(RawRequest::new(TOPIC, payload)).timeout(5 * LIMIT).send()
    };
    assert!(ask("bad").await.unwrap_err().status().is_some());
    let metrics = &running.metrics;
    assert_eq!(metrics.dead_letters.get(), 1);

    kafka.revoke(&write).unwrap();
    let mut bad = ask("bad");
    eventually("the partition stands still", || metrics.blocked_partitions.get() == 1).await;
    // It is paused within a moment.
    eventually("it is not read", || metrics.paused_partitions.get() == 1).await;
    let mut behind = ask("well");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(behind.try_reply().is_none(), "what is behind it is not read");
    assert!(bad.try_reply().is_none(), "nothing is answered before its letter is written");

    kafka.grant(&write).unwrap();
    let granted = Instant::now();
    assert!(bad.await.unwrap_err().status().is_some());
    assert_eq!(behind.await.unwrap().payload, "well");
    println!("dead letters: {:?} after the grant", granted.elapsed());
    assert!(granted.elapsed() < SOON_AFTER, "{:?}", granted.elapsed());
    eventually("the partition goes on", || metrics.blocked_partitions.get() == 0).await;
    assert_eq!(metrics.dead_letters.get(), 2);
    running.stop().await.unwrap();
}
