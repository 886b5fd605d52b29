//! `antiphon reply`: answers the requests of a topic.

mod answer;
mod command;
mod http;
mod simulated;
mod tuning;

use antiphon::Replier;
use antiphon::metrics::ReplierMetrics;
use antiphon::replier::RunError;
use clap::Args;

use self::answer::Answer;
use self::simulated::Simulated;
use self::tuning::Tuning;
use crate::exit::Failure;
use crate::options::{Admin, Connection, Topics};
use crate::service::Service;
use crate::topics::START_MS;

/// Answers the requests of a topic, as one member of a consumer group.
#[derive(Debug, Args)]
pub(crate) struct Reply {
    /// The request topic.
    topic: String,
    #[command(flatten)]
    answer: Answer,
    /// With --echo and --upper: answer each request with a stream of so many replies.
    #[arg(long, value_name = "N", conflicts_with_all = ["command", "http"])]
    stream: Option<u64>,
    #[command(flatten)]
    simulated: Simulated,
    #[command(flatten)]
    tuning: Tuning,
    #[command(flatten)]
    topics: Topics,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(reply: &Reply) -> Result<(), Failure> {
    let mut settings = reply.connection.settings()?;
    reply.tuning.apply(&mut settings.replier, &reply.topic);
    settings.replier.start_timeout_ms = settings.replier.start_timeout_ms.min(START_MS);
    // What is wrong is said before topics are created for it.
    settings.replier.validate().map_err(|error| Failure::usage(error.to_string()))?;
    reply.topics.ensure_of_replier(&settings, &reply.topic).await?;

    let service = Service::start(reply.admin.metrics.as_deref()).await?;
    let metrics = ReplierMetrics::new();
    metrics.register(&service.registry).map_err(|error| Failure::usage(error.to_string()))?;
    let (ready, beat) = (service.health.clone(), service.health.clone());
    let max_output = settings.replier.max_reply_bytes;
    let topic = reply.topic.clone();
    Replier::builder(settings.kafka)
        .settings(settings.replier)
        .service(reply.answer.router(&reply.topic, reply.stream, &reply.simulated, max_output))
        .metrics(metrics)
        .on_ready(move |is_ready| {
            ready.set_ready(is_ready);
            eprintln!("{} `{topic}`", if is_ready { "ready: answering" } else { "leaving" });
        })
        .on_beat(move || beat.beat())
        .run(antiphon::replier::shutdown_signal())
        .await
        .map_err(|error| match error {
            RunError::RequestTopic(..) => Failure::not_sent(error.to_string()),
            _ => Failure::usage(error.to_string()),
        })
}
