//! A layer that runs each handler in a span of `tracing`, with the names that OpenTelemetry has for
//! messaging. They are still moving, so all of them are here.

use std::sync::Arc;
use std::task::{Context as Task, Poll};

use antiphon_common::Status;
use futures::future::BoxFuture;
use tower::{Layer, Service};
use tracing::{Instrument, Span, field};

use crate::handlers::context::{Context, RawReply};
use crate::handlers::layer::Incoming;

/// Runs each handler in a span `process` of level `INFO`.
///
/// | field | value |
/// |---|---|
/// | `otel.name` | `process <topic>` |
/// | `otel.kind` | `consumer` |
/// | `messaging.system` | `kafka` |
/// | `messaging.operation.name`, `messaging.operation.type` | `process` |
/// | `messaging.destination.name`, `messaging.destination.partition.id` | the request topic, and the partition |
/// | `messaging.kafka.offset` | the offset of the request |
/// | `messaging.consumer.group.name` | the group that [`TraceLayer::group`] names |
/// | `messaging.message.conversation_id` | the correlation id, in hexadecimal |
/// | `antiphon.endpoint` | the endpoint that the caller named |
/// | `traceparent` | the caller's span, if the request has a header of that name and of W3C's form |
/// | `error.type` | the code of the error that the handler ended with |
#[derive(Debug, Clone, Default)]
pub struct TraceLayer {
    group: Option<Arc<str>>,
}

/// What [`TraceLayer`] makes of a handler.
#[derive(Debug, Clone)]
pub struct Trace<S> {
    inner: S,
    group: Option<Arc<str>>,
}

impl TraceLayer {
    /// A layer that names no group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the consumer group.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.group = Some(group.into());
        self
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { inner, group: self.group.clone() }
    }
}

impl<S> Service<Incoming> for Trace<S>
where
    S: Service<Incoming, Response = RawReply, Error: AsCode, Future: Send + 'static>,
{
    type Response = RawReply;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<RawReply, S::Error>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, incoming: Incoming) -> Self::Future {
        let endpoint = incoming.request.endpoint.as_deref();
        let span = span(&incoming.context, endpoint, self.group.as_deref());
        let answer = span.in_scope(|| self.inner.call(incoming));
        let told = span.clone();
        let answer = async move {
            let answer = answer.await;
            if let Err(error) = &answer {
                told.record("error.type", error.as_code());
            }
            answer
        };
        Box::pin(answer.instrument(span))
    }
}

/// An error that has a code to be recorded: a [`Status`], or whatever an inner layer makes of it.
pub trait AsCode {
    /// The name of its code.
    fn as_code(&self) -> &'static str;
}

impl AsCode for Status {
    fn as_code(&self) -> &'static str {
        self.code().name()
    }
}

impl AsCode for tower::BoxError {
    fn as_code(&self) -> &'static str {
        self.downcast_ref::<Status>().map_or("_OTHER", AsCode::as_code)
    }
}

fn span(context: &Context, endpoint: Option<&str>, group: Option<&str>) -> Span {
    let span = tracing::info_span!(
        "process",
        otel.name = field::Empty,
        otel.kind = "consumer",
        messaging.system = "kafka",
        messaging.operation.name = "process",
        messaging.operation.r#type = "process",
        messaging.destination.name = context.topic(),
        messaging.destination.partition.id = context.partition(),
        messaging.kafka.offset = context.offset(),
        messaging.consumer.group.name = group,
        messaging.message.conversation_id = field::Empty,
        antiphon.endpoint = endpoint,
        traceparent = traceparent(context),
        error.r#type = field::Empty,
    );
    if !span.is_disabled() {
        span.record("otel.name", format!("process {}", context.topic()));
        span.record("messaging.message.conversation_id", hex(context.correlation_id()));
    }
    span
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect()
}

/// The header of that name, if it has the form of W3C's Trace Context: anyone may send anything.
fn traceparent(context: &Context) -> Option<&str> {
    let value = std::str::from_utf8(context.headers().get("traceparent")?).ok()?;
    let mut parts = value.split('-');
    let is_hex = |part: Option<&str>, length: usize| {
        part.is_some_and(|part| {
            part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let [version, trace, parent, flags] = [2, 32, 16, 2].map(|length| is_hex(parts.next(), length));
    (version && trace && parent && flags && parts.next().is_none()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_of_w3cs_form_or_left_out() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (value, is_good) in [
            (good, true),
            (&good[1..], false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("a\nforged line", false),
            ("", false),
        ] {
            let mut context = Context::for_tests();
            context.facts.headers.push("traceparent", value);
            assert_eq!(traceparent(&context), is_good.then_some(value), "{value:?}");
        }
        assert_eq!(traceparent(&Context::for_tests()), None);
    }
}
