//! A server as a handler: the payload is posted to it, and what it says is the reply.

use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Code, Context, Status};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long a connection may take. How long an answer may take is the handler's time.
const CONNECT: Duration = Duration::from_secs(5);
/// How much of an error's body goes into the status.
const MAX_COMPLAINT: usize = 512;
/// Headers that are handed on as they are: they say to which trace the request belongs.
const HANDED_ON: [&str; 2] = ["traceparent", "tracestate"];

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server(Uri);

/// Asks the server. Connections are kept for the next request.
#[derive(Debug, Clone)]
pub(super) struct Client {
    server: Uri,
    pool: Pool<HttpConnector, Full<Bytes>>,
    max_reply: usize,
}

impl Server {
    pub(super) fn client(&self, max_reply: usize) -> Client {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Client { server: self.0.clone(), pool, max_reply }
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("`{text}` is not a URL: {error}"))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(_)) => Ok(Self(uri)),
            (Some("https"), _) => Err("https is not spoken here; name an http:// URL, of a proxy \
                                       beside this process that speaks it"
                .to_owned()),
            _ => Err(format!("`{text}` is not a URL such as http://localhost:8080/quotes")),
        }
    }
}

impl Client {
    /// Posts a request. Dropping the future, as when the request's time is over, ends the exchange.
    pub(super) async fn ask(
        &self,
        request: RawRequest,
        context: Context,
    ) -> Result<RawReply, Status> {
        let question = self.question(request, &context)?;
        let response = self.pool.request(question).await.map_err(|error| {
            Status::new(Code::Unavailable, format!("the server: {}", with_causes(&error)))
        })?;
        if response.status().is_success() {
            return self.reply(response).await;
        }
        Err(refusal(response).await)
    }

    fn question(
        &self,
        request: RawRequest,
        context: &Context,
    ) -> Result<Request<Full<Bytes>>, Status> {
        let mut question = Request::new(Full::new(request.payload));
        *question.method_mut() = Method::POST;
        *question.uri_mut() = self.server.clone();
        let mut set = |name: &'static str, value: &[u8]| {
            let value = HeaderValue::from_bytes(value).map_err(|_| {
                Status::invalid_argument(format!("the request's {name} cannot be sent by HTTP"))
            })?;
            question.headers_mut().insert(HeaderName::from_static(name), value);
            Ok::<_, Status>(())
        };
        set("antiphon-correlation-id", id_text(context.correlation_id()).as_bytes())?;
        set("antiphon-topic", context.topic().as_bytes())?;
        set("antiphon-attempt", context.attempt().to_string().as_bytes())?;
        if let Some(deadline) = context.deadline() {
            set("antiphon-deadline", deadline.to_unix_millis().to_string().as_bytes())?;
        }
        if let Some(endpoint) = &request.endpoint {
            set("antiphon-endpoint", endpoint.as_bytes())?;
        }
        if let Some(key) = context.idempotency_key() {
            set("idempotency-key", key)?;
        }
        if let Some(content_type) = &request.content_type {
            set("content-type", content_type)?;
        }
        for name in HANDED_ON {
            if let Some(value) = context.headers().get(name) {
                set(name, value)?;
            }
        }
        Ok(question)
    }

    async fn reply(&self, response: Response<Incoming>) -> Result<RawReply, Status> {
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = Limited::new(response.into_body(), self.max_reply).collect().await;
        let body = body.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                let text = format!("the server answered with over {} bytes", self.max_reply);
                return Status::internal(text);
            }
            Status::new(Code::Unavailable, format!("the server broke off: {error}"))
        })?;
        let reply = RawReply::new(body.to_bytes());
        Ok(match content_type {
            Some(content_type) => reply.content_type(content_type),
            None => reply,
        })
    }
}

/// What a response that is no success means, with the beginning of its body.
async fn refusal(response: Response<Incoming>) -> Status {
    let (head, mut body) = response.into_parts();
    let mut complaint = Vec::new();
    while complaint.len() < MAX_COMPLAINT
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Ok(data) = frame.into_data() {
            complaint.extend_from_slice(&data[..data.len().min(MAX_COMPLAINT - complaint.len())]);
        }
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let text = format!("the server: HTTP {}: {}", head.status.as_u16(), complaint.trim());
    Status::new(code(head.status), text.trim_end_matches(": ").to_owned())
}

/// The code that has the meaning of an HTTP status.
fn code(status: StatusCode) -> Code {
    match status.as_u16() {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 410 => Code::NotFound,
        405 | 501 => Code::Unimplemented,
        408 | 504 => Code::DeadlineExceeded,
        409 => Code::Aborted,
        412 | 428 => Code::FailedPrecondition,
        416 => Code::OutOfRange,
        429 => Code::ResourceExhausted,
        499 => Code::Cancelled,
        400..500 => Code::InvalidArgument,
        500.. => Code::Unavailable,
        // A redirection is not followed: the URL that is configured is wrong.
        _ => Code::Internal,
    }
}

/// Ids of this protocol are UUIDs; others are shown in hexadecimal digits.
fn id_text(id: &[u8]) -> String {
    id.iter().enumerate().fold(String::new(), |mut text, (place, byte)| {
        if id.len() == 16 && [4, 6, 8, 10].contains(&place) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The error with what lies under it: the client says no more than that it could not connect.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        assert!("http://localhost:8080/quotes?x=1".parse::<Server>().is_ok());
        for (bad, words) in [
            ("https://localhost/", "https is not spoken"),
            ("localhost:8080", "is not a URL such as"),
            ("/quotes", "is not a URL such as"),
            ("http://", "is not a URL"),
        ] {
            let told = bad.parse::<Server>().expect_err(bad);
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn every_status_has_a_code() {
        for (status, expected) in [
            (302, Code::Internal),
            (400, Code::InvalidArgument),
            (404, Code::NotFound),
            (418, Code::InvalidArgument),
            (429, Code::ResourceExhausted),
            (500, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::DeadlineExceeded),
            (999, Code::Unavailable),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(code(status), expected, "{status}");
        }
    }

    #[test]
    fn ids_are_uuids_where_they_can_be() {
        let id: Vec<u8> = (0..16).collect();
        assert_eq!(id_text(&id), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(id_text(b"\x01\xff"), "01ff");
    }
}
