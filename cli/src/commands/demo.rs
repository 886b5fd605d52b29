//! `antiphon demo`: requests to several repliers, every reply verified.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon::blocking::on_own_thread;
use antiphon::config::KafkaSettings;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::{RawRequest, Reply};
use antiphon::{CallError, Requester};
use antiphon_testkit::TestBroker;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use crate::arguments::{Admin, Connection};
use crate::commands::demo_repliers::{Repliers, expected};
use crate::commands::demo_report::{DemoReport, Verified};
use crate::exit::Failure;
use crate::load::{Ended, Load};
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
    // Topics of its own, so that a demo on a real cluster touches nothing else.
    let topic = format!("antiphon-demo-{:x}", std::process::id());
    let replies = format!("{topic}.replies");
    let partitions = i32::from(demo.repliers.max(4));
    let embedded = match demo.connection.bootstrap {
        Some(_) => {
            antiphon::kafka::create_topics(&settings.kafka, &[&topic, &replies], partitions, START)
                .await
                .map_err(|error| Failure::not_sent(error.to_string()))?;
            None
        }
        None => Some(embedded_broker(&mut settings.kafka, &topic, &replies, partitions)?),
    };
    let service = Service::start(demo.admin.metrics.as_deref()).await?;
    let metrics = RequesterMetrics::new();
    metrics.register(&service.registry).map_err(|error| Failure::usage(error.to_string()))?;
    let repliers = Repliers::start(demo.repliers, &settings, &topic, &service.registry)?;
    let requester = Requester::builder(settings.kafka.clone())
        .reply_topic(replies.as_str())
        .settings(settings.requester.clone())
        .metrics(metrics.clone())
        .build()
        .await?;
    repliers.ready(JOIN).await?;
    service.health.set_ready(true);
    if !demo.json {
        let broker = if embedded.is_some() { "an embedded broker" } else { "your broker" };
        println!(
            "{} repliers on {broker} at {}, ready after {} ms",
            demo.repliers,
            settings.kafka.bootstrap,
            begun.elapsed().as_millis()
        );
    }

    let progress = Arc::new(progress(demo));
    let load = Load { requests: demo.requests, in_flight: demo.in_flight as usize, until: None };
    let (started, cpu_before) = (Instant::now(), cpu::used());
    let bar = Arc::clone(&progress);
    let parts = load
        .run(
            &requester,
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
    let (elapsed, cpu_used) = (started.elapsed(), cpu::used().saturating_sub(cpu_before));
    progress.finish_and_clear();
    let verified = parts.into_iter().fold(Verified::default(), Verified::add);
    repliers.stop().await?;
    let written = replies_written(&settings.kafka, replies, partitions).await?;
    let report =
        DemoReport::new(demo.requests, demo.in_flight, elapsed, cpu_used, &verified, written);
    if demo.json {
        println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
    } else {
        println!("{}\n{}", report.text(), report::histogram(&verified.latencies));
    }
    report.verdict(&verified)
}

fn embedded_broker(
    kafka: &mut KafkaSettings,
    topic: &str,
    replies: &str,
    partitions: i32,
) -> Result<TestBroker, Failure> {
    let broker = TestBroker::mock()
        .topic(topic, partitions)
        .topic(replies, partitions)
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
async fn replies_written(
    kafka: &KafkaSettings,
    topic: String,
    partitions: i32,
) -> Result<u64, Failure> {
    let config = kafka.consumer(&[("group.id", "antiphon-demo")]);
    let counted = on_own_thread("antiphon-count", move || {
        let consumer: BaseConsumer = config.create()?;
        (0..partitions).try_fold(0, |sum, partition| {
            let (low, high) = consumer.fetch_watermarks(&topic, partition, START)?;
            Ok::<_, KafkaError>(sum + u64::try_from(high - low).unwrap_or(0))
        })
    });
    counted
        .await
        .map_err(|error| Failure::usage(error.to_string()))?
        .map_err(|error| Failure::not_sent(format!("cannot count the replies: {error}")))
}

fn payload(number: u64) -> String {
    format!("request {number}")
}

fn progress(demo: &Demo) -> ProgressBar {
    if demo.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40.cyan} {pos}/{len} verified, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::new(demo.requests).with_style(style)
}
