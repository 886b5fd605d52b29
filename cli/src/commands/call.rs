//! `antiphon call`: sends one request or many, and prints the replies.

use std::io::Read;

use antiphon::Requester;
use antiphon::metrics::RequesterMetrics;
use antiphon::requester::RawRequest;
use antiphon::wire::Headers;
use bytes::Bytes;
use clap::Args;

use crate::commands::tally::{Answer, Style, Tally};
use crate::exit::Failure;
use crate::load::Load;
use crate::options::{Admin, Asking, Connection, pair};
use crate::service::Service;

/// Sends requests and prints their replies, one on a line.
#[derive(Debug, Args)]
pub(crate) struct CallCommand {
    /// The request topic.
    topic: String,
    /// The payload; `-` reads it from standard input.
    #[arg(default_value = "")]
    payload: String,
    /// A header; may be repeated.
    #[arg(short = 'H', value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// The key, which chooses the partition of the request topic.
    #[arg(short = 'k', long)]
    key: Option<String>,
    /// The endpoint.
    #[arg(long)]
    endpoint: Option<String>,
    /// How many times to send the request.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// With --count: how many calls are in flight at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight: u32,
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

pub(crate) async fn run(call: &CallCommand) -> Result<(), Failure> {
    let settings = call.connection.settings()?;
    check_headers(&call.headers)?;
    let payload = payload(call)?;
    let service = Service::start(call.admin.metrics.as_deref()).await?;
    let metrics = RequesterMetrics::new();
    metrics.register(&service.registry).map_err(|error| Failure::usage(error.to_string()))?;
    let requester = call.asking.requester(&settings, &call.topic, &metrics).await?;
    service.health.set_ready(true);

    let mut request = RawRequest::new(call.topic.clone(), payload);
    if let Some(endpoint) = &call.endpoint {
        request = request.endpoint(endpoint.clone());
    }
    let load = Load { requests: call.count, in_flight: call.in_flight as usize, until: None };
    let style = match (call.summary, call.raw, call.json) {
        (true, ..) => Style::Summary,
        (_, true, _) => Style::Raw,
        (_, _, true) => Style::Json,
        _ => Style::Text,
    };
    let (headers, key) = (call.headers.clone(), call.key.clone().map(Bytes::from));
    let tallies = load
        .run(
            &requester,
            move |requester, _| send(requester, &request, &headers, key.as_ref()),
            move |tally: &mut Tally, ended| tally.take(style, &ended),
        )
        .await;
    let tally = tallies.into_iter().fold(Tally::default(), Tally::add);
    if style == Style::Summary {
        println!("{}", tally.summary());
    }
    match tally.exit_code() {
        0 => Ok(()),
        code => Err(Failure::said(code)),
    }
}

/// Puts a call on its way. Its id is kept apart, since a reply does not carry it.
fn send(
    requester: &Requester,
    request: &RawRequest,
    headers: &[(String, String)],
    key: Option<&Bytes>,
) -> impl Future<Output = Answer> + use<> {
    let mut call = requester.ask(request.clone());
    for (name, value) in headers {
        call = call.header(name.clone(), value.clone());
    }
    if let Some(key) = key {
        call = call.key(key.clone());
    }
    let call = call.send();
    async move { (call.correlation_id(), call.await) }
}

/// Finds what no call could send, before the first one is made.
fn check_headers(headers: &[(String, String)]) -> Result<(), Failure> {
    let mut own = Headers::new();
    for (name, value) in headers {
        own.push(name.clone(), value.clone());
    }
    match own.reserved() {
        None => Ok(()),
        Some(name) => Err(Failure::usage(format!(
            "-H {name}: this header is the protocol's own; use another name"
        ))),
    }
}

fn payload(call: &CallCommand) -> Result<Bytes, Failure> {
    if call.payload != "-" {
        return Ok(Bytes::copy_from_slice(call.payload.as_bytes()));
    }
    let mut input = Vec::new();
    std::io::stdin()
        .read_to_end(&mut input)
        .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
    Ok(input.into())
}
