//! `antiphon demo`: requests to several repliers, every reply verified.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon::blocking::on_own_thread;
use antiphon::config::{KafkaSettings, Settings};
use antiphon::kafka::{create_topics, delete_topics, watermarks};
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::{Name, RawRequest, Reply};
use antiphon::{CallError, InstanceId, Requester};
use antiphon_testkit::TestBroker;
use clap::Args;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use crate::commands::demo_repliers::{Repliers, expected};
use crate::commands::demo_report::{DemoReport, Verified};
use crate::exit::Failure;
use crate::load::{Ended, Load};
use crate::options::{Admin, Connection};
use crate::service::Service;
use crate::topics::START;
use crate::{cpu, report};

/// Sends requests to several repliers and verifies every reply.
///
/// Without -b, an embedded broker that speaks the Kafka protocol is started for it.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many repliers share the work.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    repliers: u16,
    /// How many requests to send.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    requests: u64,
    /// How many calls are in flight at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    connection: Connection,
}

/// How long the repliers may take to share the partitions among them.
const JOIN: Duration = Duration::from_secs(30);

pub(crate) async fn run(demo: &Demo) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut settings = demo.connection.settings()?;
    let topics = DemoTopics::new(demo.repliers);
    if demo.connection.bootstrap.is_none() {
        let _broker = topics.embedded_broker(&mut settings.kafka)?;
        return verify(demo, &settings, &topics, begun).await;
    }
    let names = [topics.requests.as_str(), topics.replies.as_str()];
    create_topics(&settings.kafka, &names, topics.partitions, START)
        .await
        .map_err(|error| Failure::not_sent(error.to_string()))?;
    let verified = verify(demo, &settings, &topics, begun).await;
    if let Err(error) = delete_topics(&settings.kafka, &names, START).await {
        eprintln!("the topics {} and {} stay: {error}", topics.requests, topics.replies);
    }
    verified
}

/// The topics of one demo: its own, so that on a real cluster it touches nothing else, not even
/// what an earlier demo left there.
struct DemoTopics {
    requests: String,
    replies: String,
    partitions: i32,
}

async fn verify(
    demo: &Demo,
    settings: &Settings,
    topics: &DemoTopics,
    begun: Instant,
) -> Result<(), Failure> {
    let service = Service::start(demo.admin.metrics.as_deref()).await?;
    let metrics = RequesterMetrics::new();
    metrics.register(&service.registry).map_err(|error| Failure::usage(error.to_string()))?;
    let repliers = Repliers::start(demo.repliers, settings, &topics.requests, &service.registry)?;
    let requester = Requester::builder(settings.kafka.clone())
        .reply_topic(topics.replies.as_str())
        .settings(settings.requester.clone())
        .metrics(metrics)
        .build()
        .await?;
    repliers.ready(JOIN).await?;
    service.health.set_ready(true);
    if !demo.json {
        let embedded = demo.connection.bootstrap.is_none();
        println!(
            "{} repliers on {} at {}, ready after {} ms",
            demo.repliers,
            if embedded { "an embedded broker" } else { "your broker" },
            settings.kafka.bootstrap,
            begun.elapsed().as_millis()
        );
    }

    let (started, cpu_before) = (Instant::now(), cpu::used());
    let verified = ask(demo, &requester, &topics.requests, begun).await;
    let (elapsed, cpu_used) = (started.elapsed(), cpu::used().saturating_sub(cpu_before));
    repliers.stop().await?;
    let written = topics.replies_written(&settings.kafka).await?;
    let report =
        DemoReport::new(demo.requests, demo.in_flight, elapsed, cpu_used, &verified, written);
    if demo.json {
        println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
    } else {
        println!("{}\n{}", report.text(), report::histogram(&verified.latencies));
    }
    report.verdict(&verified)
}

/// Sends all requests, and compares each reply with its request.
async fn ask(demo: &Demo, requester: &Requester, topic: &str, begun: Instant) -> Verified {
    let progress = Arc::new(progress(demo));
    let (requests, in_flight) = (demo.requests, demo.in_flight as usize);
    let load = Load { requests, in_flight, ..Load::default() };
    let (bar, topic) = (Arc::clone(&progress), Name::from(topic.to_owned()));
    let parts = load
        .run(
            requester,
            move |requester, number| {
                let request = RawRequest::new(topic.clone(), payload(number));
                requester.ask(request).key(number.to_string()).send()
            },
            move |verified: &mut Verified, ended: Ended<Result<Reply, CallError>>| {
                bar.inc(1);
                let first_after = begun.elapsed();
                let correct = ended
                    .result
                    .map(|reply| expected(payload(ended.number).as_bytes(), &reply.payload));
                verified.take(ended.latency, correct, first_after);
            },
        )
        .await;
    progress.finish_and_clear();
    parts.into_iter().fold(Verified::default(), Verified::add)
}

impl DemoTopics {
    fn new(repliers: u16) -> Self {
        let requests = format!("antiphon-demo-{:?}", InstanceId::random());
        let replies = format!("{requests}.replies");
        Self { requests, replies, partitions: i32::from(repliers.max(4)) }
    }

    fn embedded_broker(&self, kafka: &mut KafkaSettings) -> Result<TestBroker, Failure> {
        let broker = TestBroker::mock()
            .topic(&self.requests, self.partitions)
            .topic(&self.replies, self.partitions)
            .start()
            .map_err(|error| Failure::usage(error.to_string()))?;
        kafka.bootstrap = broker.bootstrap().to_owned();
        for (name, value) in broker.client_properties() {
            kafka.properties.entry((*name).to_owned()).or_insert_with(|| (*value).to_owned());
        }
        Ok(broker)
    }

    /// How many replies are in the reply topic: more than there were requests means duplicates,
    /// whether or not the requester has seen them.
    async fn replies_written(&self, kafka: &KafkaSettings) -> Result<u64, Failure> {
        let config = kafka.consumer(&[("group.id", "antiphon-demo")]);
        let (topic, partitions) = (self.replies.clone(), self.partitions);
        let counted = on_own_thread("antiphon-count", move || {
            let consumer: BaseConsumer = config.create()?;
            (0..partitions).try_fold(0, |sum, partition| {
                // The topic is new, so its end is the number of replies, kept or not.
                let (_, end) = watermarks(&consumer, &topic, partition, START)?;
                Ok::<_, KafkaError>(sum + u64::try_from(end).unwrap_or(0))
            })
        });
        counted
            .await
            .map_err(|error| Failure::usage(error.to_string()))?
            .map_err(|error| Failure::not_sent(format!("cannot count the replies: {error}")))
    }
}

fn payload(number: u64) -> String {
    format!("request {number}")
}

fn progress(demo: &Demo) -> ProgressBar {
    if demo.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40.cyan} {pos}/{len} verified, {rate}/s";
    let style = ProgressStyle::with_template(template).expect("the template is valid").with_key(
        "rate",
        |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // It goes to memory, which takes it.
            let _ = write!(out, "{:.0}", state.per_sec());
        },
    );
    ProgressBar::new(demo.requests).with_style(style)
}
