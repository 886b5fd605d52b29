//! What is asked, as `call` and `submit` take it from the command line.

use std::io::Read;

use antiphon::Requester;
use antiphon::requester::{CallBuilder, RawRequest};
use antiphon::wire::Headers;
use bytes::Bytes;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::load::Load;
use crate::options::pair;

/// A request, how often it is sent, and how many at once.
#[derive(Debug, Args)]
pub(crate) struct Question {
    /// The request topic.
    pub(crate) topic: String,
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
    /// A key by which a replier knows a request that it has seen; declares that running the request
    /// twice is as good as once.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How many times to send the request.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// With --count: how many are under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight: u32,
}

/// A question that was checked, and can be asked often.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    request: RawRequest,
    headers: Vec<(String, String)>,
    key: Option<Bytes>,
    idempotency_key: Option<Bytes>,
}

impl Question {
    /// Reads the payload, and finds what no request could carry before the first one is made.
    pub(crate) fn prepare(&self) -> Result<Prepared, Failure> {
        check_headers(&self.headers)?;
        let mut request = RawRequest::new(self.topic.clone(), self.payload()?);
        if let Some(endpoint) = &self.endpoint {
            request = request.endpoint(endpoint.clone());
        }
        let bytes = |text: &Option<String>| text.clone().map(Bytes::from);
        let (key, idempotency_key) = (bytes(&self.key), bytes(&self.idempotency_key));
        Ok(Prepared { request, headers: self.headers.clone(), key, idempotency_key })
    }

    /// How often to ask, until `stop`.
    pub(crate) fn load(&self, stop: CancellationToken) -> Load {
        Load { requests: self.count, in_flight: self.in_flight as usize, until: None, stop }
    }

    fn payload(&self) -> Result<Bytes, Failure> {
        if self.payload != "-" {
            return Ok(Bytes::copy_from_slice(self.payload.as_bytes()));
        }
        let mut input = Vec::new();
        std::io::stdin()
            .read_to_end(&mut input)
            .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
        Ok(input.into())
    }
}

impl Prepared {
    /// Puts a call together.
    pub(crate) fn ask<'r>(&self, requester: &'r Requester) -> CallBuilder<'r, RawRequest> {
        let mut call = requester.ask(self.request.clone());
        for (name, value) in &self.headers {
            call = call.header(name.clone(), value.clone());
        }
        if let Some(key) = &self.key {
            call = call.key(key.clone());
        }
        if let Some(key) = &self.idempotency_key {
            call = call.idempotency_key(key.clone());
        }
        call
    }
}

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
