//! Requesters in processes of their own share a reply topic with fewer partitions than there are of
//! them, while they come and go: every reply gets to the call that it is for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use antiphon::replier::{RawReply, RawRequest as Asked};
use antiphon::{Context, Replier, Router, Status};
use futures::future::join_all;

use crate::support::brokers::{kafka, settings, topics};
use crate::support::instances::{Instance, Orders, Report, take_part};
use crate::support::replying::{Running, run};

const NAME: &str = "kafka::churn::instances_come_and_go_and_no_reply_is_lost";
/// Set by `make churn`: how long to go on, in seconds. Times are then bounded too.
const SECONDS: &str = "ANTIPHON_CHURN_SECONDS";

const INSTANCES: usize = 8;
const PARTITIONS: i32 = 4;
/// How much later than its deadline a call may end on a machine that has time for it.
const GRACE_MS: u64 = 100;

#[test]
fn instances_come_and_go_and_no_reply_is_lost() {
    if take_part() {
        return;
    }
    let long = std::env::var(SECONDS).ok().map(|seconds| seconds.parse().unwrap());
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(async {
        match long {
            Some(seconds) => churn_for(seconds).await,
            None => churn_for_a_while().await,
        }
    });
}

/// Without any bound on time: a machine that is busy with other things passes too.
async fn churn_for_a_while() {
    let mut churn = Churn::start("churn", 60_000).await;
    for _ in 0..2 {
        churn.wait(Duration::from_millis(1_500)).await;
        churn.leave().await;
        churn.wait(Duration::from_millis(500)).await;
        churn.join().await;
        churn.kill_one().await;
        churn.join().await;
    }
    churn.wait(Duration::from_secs(1)).await;
    churn.end().await.assert_clean();
}

async fn churn_for(seconds: u64) {
    let mut churn = Churn::start("churn-long", 10_000).await;
    let begun = Instant::now();
    for step in 1_u32.. {
        churn.wait_until(begun + step * Duration::from_secs(2)).await;
        if begun.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        match step % 6 {
            1 | 3 => churn.leave().await,
            5 => churn.kill_one().await,
            _ => churn.join().await,
        }
    }
    let (joined, left, killed) = (churn.joined, churn.left, churn.killed);
    let report = churn.end().await;
    let summary = serde_json::json!({
        "seconds": begun.elapsed().as_secs(), "partitions": PARTITIONS,
        "joined": joined, "left": left, "killed": killed, "report": report,
    });
    println!("\n{summary}");
    report.assert_clean();
    assert!(report.moves > 0, "no instance ever moved, so this showed nothing");
    assert!(report.past_deadline_ms <= GRACE_MS, "a call ended too late");
}

/// Takes its time, so that most callers have a call in flight when their instance's lease moves.
fn slow_echo(topic: &str) -> Router {
    Router::new().handle_any(topic, |request: Asked, _: Context| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, Status>(RawReply::new(request.payload))
    })
}

/// Instances and what those that are gone have reported.
struct Churn {
    orders: Orders,
    /// The oldest comes first, and goes first.
    running: VecDeque<Instance>,
    report: Report,
    joined: usize,
    left: usize,
    killed: usize,
    replier: Running,
}

impl Churn {
    async fn start(name: &str, timeout_ms: u64) -> Self {
        let (topic, replies) = topics(name, PARTITIONS);
        let void = format!("{name}.void");
        kafka().create_topic(&void, 1).unwrap();
        let builder = Replier::builder(settings(kafka())).group(name).service(slow_echo(&topic));
        let replier = run(builder).await;
        let orders = Orders {
            bootstrap: kafka().bootstrap().to_owned(),
            properties: settings(kafka())
                // The least that the broker allows: a killed instance keeps its lease for so long.
                .property("session.timeout.ms", "6000")
                .properties,
            topic,
            replies,
            void: Some(void),
            callers: 3,
            pace_ms: 15,
            timeout_ms,
            until_refused: false,
        };
        let starts = (0..INSTANCES).map(|_| Instance::start(NAME, &orders));
        let running = join_all(starts).await.into();
        let report = Report::default();
        Self { orders, running, report, joined: INSTANCES, left: 0, killed: 0, replier }
    }

    async fn join(&mut self) {
        self.running.push_back(Instance::start(NAME, &self.orders).await);
        self.joined += 1;
    }

    async fn leave(&mut self) {
        let oldest = self.running.pop_front().unwrap();
        self.report.add(oldest.stop().await);
        self.left += 1;
    }

    /// What it has asked for is answered to nobody.
    async fn kill_one(&mut self) {
        self.running.pop_front().unwrap().kill().await;
        self.killed += 1;
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn wait_until(&self, when: Instant) {
        tokio::time::sleep_until(when.into()).await;
    }

    async fn end(mut self) -> Report {
        for ended in join_all(self.running.drain(..).map(Instance::stop)).await {
            self.report.add(ended);
        }
        self.replier.stop().await.unwrap();
        self.report
    }
}
