//! `antiphon reply`: answers the requests of a topic.

use antiphon::metrics::ReplierMetrics;
use antiphon::replier::{RawReply, RawRequest, RunError};
use antiphon::{Context, Replier, Router, Status};
use clap::Args;
use futures::stream;

use crate::commands::command::Program;
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
    #[arg(long, value_name = "N", conflicts_with = "command")]
    stream: Option<u64>,
    /// The consumer group [default: the topic's name].
    #[arg(long)]
    group: Option<String>,
    /// How many requests are handled at once.
    #[arg(long)]
    concurrency: Option<usize>,
    /// A pattern of reply topics to allow besides the request topic's own; may be repeated.
    #[arg(long, value_name = "GLOB")]
    allow_reply_to: Vec<String>,
    #[command(flatten)]
    topics: Topics,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Answer {
    /// Answer with the request's payload.
    #[arg(long)]
    echo: bool,
    /// Answer with the request's payload in upper case.
    #[arg(long)]
    upper: bool,
    /// Answer with what this shell command prints; it reads the payload from standard input.
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
}

pub(crate) async fn run(reply: &Reply) -> Result<(), Failure> {
    let mut settings = reply.connection.settings()?;
    if let Some(group) = &reply.group {
        settings.replier.group.clone_from(group);
    } else if settings.replier.group.is_empty() {
        settings.replier.group.clone_from(&reply.topic);
    }
    if let Some(concurrency) = reply.concurrency {
        settings.replier.concurrency = concurrency;
    }
    settings.replier.start_timeout_ms = settings.replier.start_timeout_ms.min(START_MS);
    settings.replier.allow_reply_to.extend(reply.allow_reply_to.iter().cloned());
    let replies = format!("{}.replies", reply.topic);
    reply.topics.ensure(&settings, &[&reply.topic, &replies]).await?;

    let service = Service::start(reply.admin.metrics.as_deref()).await?;
    let metrics = ReplierMetrics::new();
    metrics.register(&service.registry).map_err(|error| Failure::usage(error.to_string()))?;
    let (ready, beat) = (service.health.clone(), service.health.clone());
    let max_output = settings.replier.max_reply_bytes;
    let topic = reply.topic.clone();
    Replier::builder(settings.kafka)
        .settings(settings.replier)
        .service(reply.answer.router(&reply.topic, reply.stream, max_output))
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

impl Answer {
    fn router(&self, topic: &str, stream: Option<u64>, max_output: usize) -> Router {
        if let Some(command) = &self.command {
            let program = Program::new(command, max_output);
            return Router::new().handle_any(topic, move |request, context| {
                let program = program.clone();
                async move { program.run(request, context).await }
            });
        }
        let upper = self.upper;
        let reply = move |request: RawRequest| match upper {
            true => RawReply::new(uppercase(&request.payload)),
            false => RawReply::new(request.payload),
        };
        match stream {
            Some(replies) => Router::new().handle_any_stream(topic, move |request, _: Context| {
                let reply = reply(request);
                stream::iter((0..replies).map(move |_| Ok::<_, Status>(reply.clone())))
            }),
            None => Router::new().handle_any(topic, move |request, _: Context| async move {
                Ok::<_, Status>(reply(request))
            }),
        }
    }
}

/// Upper case for text; bytes that are not text stay as they are, but for ASCII letters.
fn uppercase(payload: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(payload) {
        Ok(text) => text.to_uppercase().into_bytes(),
        Err(_) => payload.to_ascii_uppercase(),
    }
}
