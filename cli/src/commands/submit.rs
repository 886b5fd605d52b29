//! `antiphon submit`: sends requests, and prints a ticket for each of their replies.

use antiphon::CallError;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::Ticket;
use clap::Args;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::exit::{self, Failure, code_of};
use crate::options::{Asking, Connection, Sealing};
use crate::output::{Style, write_line};
use crate::question::Question;

/// Sends requests, and prints a ticket for each as soon as the broker has acknowledged it, one on
/// a line. What was printed can be taken by `antiphon ticket`, even if this process is killed.
///
/// A reply has to come within --timeout, which may be hours.
#[derive(Debug, Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    question: Question,
    /// Print a JSON object for each ticket, with where the request is.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sealing: Sealing,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) async fn run(submit: &Submit) -> Result<(), Failure> {
    let settings = submit.connection.settings()?;
    let (key, question) = (submit.sealing.key()?, submit.question.prepare()?);
    let topic = &submit.question.topic;
    let mut builder = submit.asking.prepare(&settings, topic, &RequesterMetrics::new()).await?;
    if let Some(key) = key {
        builder = builder.ticket_key(key);
    }
    let requester = builder.build().await?;
    let (json, stop) = (submit.json, CancellationToken::new());
    let codes = submit
        .question
        .load(stop.clone())
        .run(
            &requester,
            move |requester, _| {
                let (requester, question) = (requester.clone(), question.clone());
                async move { question.ask(&requester).submit().await }
            },
            move |code: &mut u8, ended| match print(json, &ended.result) {
                Ok(ended) => *code = ended.max(*code),
                Err(error) => {
                    // The ticket is lost, and others would be.
                    eprintln!("error: cannot print a ticket: {error}");
                    stop.cancel();
                    *code = exit::UNKNOWN;
                }
            },
        )
        .await;
    // Of requests that were not sent and those of which it is not known, the latter count.
    match codes.into_iter().max().unwrap_or(0) {
        0 => Ok(()),
        code => Err(Failure::said(code)),
    }
}

/// Prints how a submission ended, and returns its exit code.
fn print(json: bool, submitted: &Result<Ticket, CallError>) -> std::io::Result<u8> {
    match submitted {
        Ok(ticket) => {
            let text = ticket.to_string();
            let line = if json { described(ticket, &text).to_string() } else { text };
            write_line(&line).map(|()| 0)
        }
        Err(error) => {
            Style::of(false, false, json).error(error, &Value::Null);
            Ok(code_of(error))
        }
    }
}

fn described(ticket: &Ticket, text: &str) -> Value {
    json!({
        "correlation_id": ticket.correlation_id().to_string(),
        "ticket": text,
        "partition": ticket.request().partition,
        "offset": ticket.request().offset,
    })
}
