//! `antiphon call`: sends one request or many, and prints the replies.

use std::time::Duration;

use antiphon::Requester;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RetryPolicy;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::commands::answers::{Expected, Sent};
use crate::commands::one_way;
use crate::commands::tally::Tally;
use crate::exit::Failure;
use crate::options::{Admin, Asking, Connection};
use crate::output::{Style, print_line};
use crate::question::{Prepared, Question};
use crate::service::Service;

/// How long the records that cancel requests may take to go out.
const FAREWELL: Duration = Duration::from_millis(500);

/// Sends requests and prints their replies, one on a line.
#[derive(Debug, Args)]
pub(crate) struct CallCommand {
    #[command(flatten)]
    question: Question,
    /// Take several replies to each request: at most so many, or `all` until the replier ends them.
    #[arg(long, value_name = "N|all", conflicts_with = "retries")]
    replies: Option<Expected>,
    /// Send a request that was not sent again, at most so many times; with --idempotency-key also
    /// one of which that is not known.
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// When interrupted by Ctrl-C, tell the replier, which stops working on the request. By the
    /// deadline it stops in any case.
    #[arg(long)]
    cancel: bool,
    /// Want no reply: print nothing, and end as soon as the brokers have acknowledged the request,
    /// which --timeout bounds. It carries no deadline, and is handled however late.
    #[arg(long, conflicts_with_all = ["replies", "retries", "cancel", "raw", "json", "summary"])]
    one_way: bool,
    /// Print the bytes of each reply and nothing else.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print a JSON object for each reply.
    #[arg(long)]
    json: bool,
    /// Print no replies, but one JSON object at the end that counts them.
    #[arg(long)]
    summary: bool,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    connection: Connection,
}

/// How each call is made.
#[derive(Debug, Clone)]
struct Manner {
    question: Prepared,
    replies: Option<Expected>,
    retry: RetryPolicy,
    /// `None` if an interrupt just ends the process.
    cancel: Option<CancellationToken>,
}

pub(crate) async fn run(call: &CallCommand) -> Result<(), Failure> {
    let settings = call.connection.settings()?;
    let manner = Manner {
        question: call.question.prepare()?,
        replies: call.replies,
        retry: RetryPolicy::default().max_attempts(call.retries.saturating_add(1)),
        cancel: call.cancel.then(cancelled_by_signal),
    };
    let service = Service::start(call.admin.metrics.as_deref()).await?;
    let metrics = RequesterMetrics::new();
    metrics.register(&service.registry).map_err(|error| Failure::usage(error.to_string()))?;
    let topic = &call.question.topic;
    let requester = call.asking.requester(&settings, topic, &metrics).await?;
    service.health.set_ready(true);
    if call.one_way {
        let load = call.question.load(CancellationToken::new());
        return one_way::tell(load, &requester, manner.question).await;
    }

    let style = Style::of(call.summary, call.raw, call.json);
    let interrupted = manner.cancel.clone().unwrap_or_default();
    let tallies = call
        .question
        .load(interrupted.clone())
        .run(
            &requester,
            move |requester, _| manner.send(requester).end(style),
            move |tally: &mut Tally, ended| tally.take(style, &ended),
        )
        .await;
    if interrupted.is_cancelled() {
        // Requests that are not acknowledged yet are cancelled behind their acknowledgement.
        requester.close(FAREWELL).await;
    }
    let tally = tallies.into_iter().fold(Tally::default(), Tally::add);
    if style == Style::Summary {
        print_line(&tally.summary());
    }
    match tally.exit_code() {
        0 => Ok(()),
        code => Err(Failure::said(code)),
    }
}

impl Manner {
    /// Puts a call on its way.
    fn send(&self, requester: &Requester) -> Sent {
        let mut call = self.question.ask(requester);
        if self.retry != RetryPolicy::none() {
            call = call.retry(self.retry);
        }
        if let Some(token) = &self.cancel {
            call = call.cancellable(true).cancel_on(token.clone());
        }
        match self.replies {
            None => Sent::one(call.send()),
            Some(expected) => Sent::several(call.stream(), expected),
        }
    }
}

/// A token that Ctrl-C cancels. A second one ends the process.
fn cancelled_by_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        antiphon::replier::shutdown_signal().await;
        cancelled.cancel();
    });
    token
}
