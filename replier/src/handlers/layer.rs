//! tower's layers around handlers.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Task, Poll};

use antiphon_common::{Code, Status};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::{BoxError, Layer, Service, ServiceExt};

use crate::handlers::context::{Context, RawReply, RawRequest};
use crate::handlers::handler::Erased;
use crate::handlers::router::Router;
use crate::handlers::routes::{Answering, Endpoints};
use crate::handlers::stream_handler::{ErasedStream, Items};

/// A request on its way through layers to its handler.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Incoming {
    /// The request in bytes.
    pub request: RawRequest,
    /// Where it came from and what came with it. A layer hands values on to the handler by
    /// [`Context::insert`].
    pub context: Context,
}

/// A handler as a [`tower::Service`], which is always ready.
#[derive(Clone)]
pub struct HandlerService(Inner);

#[derive(Clone)]
enum Inner {
    Once(Erased),
    /// Opens the stream, and answers with an empty reply.
    Stream(ErasedStream),
}

/// Where the service of a stream leaves the stream that it has opened.
#[derive(Default)]
struct Opened(Mutex<Option<Items>>);

impl Service<Incoming> for HandlerService {
    type Response = RawReply;
    type Error = Status;
    type Future = BoxFuture<'static, Result<RawReply, Status>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Incoming { request, context }: Incoming) -> Self::Future {
        match &self.0 {
            Inner::Once(handler) => handler(request, context),
            Inner::Stream(handler) => {
                let opened = context.facts.extensions.shared::<Opened>();
                let items = handler(request, context);
                if let Some(opened) = opened {
                    *opened.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(items);
                }
                Box::pin(std::future::ready(Ok(RawReply::default())))
            }
        }
    }
}

impl std::fmt::Debug for HandlerService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandlerService").finish_non_exhaustive()
    }
}

impl Router {
    /// Puts a [`tower::Layer`] around each of the handlers that were added before: a time limit, a
    /// bound on how many run at once, authorization, a [trace](crate::TraceLayer).
    ///
    /// The layer is applied to each handler on its own, so that a `ConcurrencyLimitLayer` is a limit
    /// for each, and a `GlobalConcurrencyLimitLayer` one for all. Of a handler of streams it sees how
    /// the stream is opened, and not its items. Of a deferred handler it sees the handler, and not
    /// the answer. The endpoints that every replier has are outside of all layers.
    ///
    /// A [`Status`] that a layer fails with is the caller's answer; `Elapsed` of tower is
    /// `DEADLINE_EXCEEDED`, `Overloaded` is `RESOURCE_EXHAUSTED`, anything else `INTERNAL`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use antiphon_common::Status;
    /// use antiphon_replier::{Context, RawReply, RawRequest, Router, TraceLayer};
    /// use tower::ServiceBuilder;
    ///
    /// async fn echo(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    ///     Ok(RawReply::new(request.payload))
    /// }
    ///
    /// let layers = ServiceBuilder::new()
    ///     .load_shed()
    ///     .concurrency_limit(16)
    ///     .timeout(Duration::from_secs(2))
    ///     .layer(TraceLayer::new());
    /// let router = Router::new().handle_any("lines", echo).layer(layers);
    /// ```
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<HandlerService>,
        L::Service: Service<Incoming, Response = RawReply, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        for handler in self.topics.values_mut().flat_map(Endpoints::all_mut) {
            handler.answering = match &handler.answering {
                Answering::Once(inner) => Answering::Once(around(&layer, Arc::clone(inner))),
                Answering::Stream(inner) => {
                    Answering::Stream(around_stream(&layer, Arc::clone(inner)))
                }
            };
        }
        self
    }
}

/// Wraps a handler in a layer.
pub(crate) fn around<L>(layer: &L, handler: Erased) -> Erased
where
    L: Layer<HandlerService>,
    L::Service: Service<Incoming, Response = RawReply, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let service = layer.layer(HandlerService(Inner::Once(handler)));
    Arc::new(move |request, context| {
        // A clone for each request, that is driven to be ready: so a layer may hold some back.
        let answer = service.clone().oneshot(Incoming { request, context });
        Box::pin(async move { answer.await.map_err(|error| status(error.into())) })
    })
}

/// Wraps a handler of streams in a layer, which sees how the stream is opened.
pub(crate) fn around_stream<L>(layer: &L, handler: ErasedStream) -> ErasedStream
where
    L: Layer<HandlerService>,
    L::Service: Service<Incoming, Response = RawReply, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let service = layer.layer(HandlerService(Inner::Stream(handler)));
    Arc::new(move |request, mut context| {
        let opened = Arc::new(Opened::default());
        context.facts.extensions.insert_shared(Arc::clone(&opened));
        let answer = service.clone().oneshot(Incoming { request, context });
        let items = async move {
            let reply = answer.await.map_err(|error| status(error.into()))?;
            let items = opened.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            // A layer that answers by itself has one reply to give.
            Ok(items.unwrap_or_else(|| stream::iter([Ok(reply)]).boxed()))
        };
        stream::once(items).try_flatten().boxed()
    })
}

/// What a caller is told of a layer's error.
fn status(error: BoxError) -> Status {
    let error = match error.downcast::<Status>() {
        Ok(status) => return *status,
        Err(error) => error,
    };
    if error.is::<Elapsed>() {
        return Status::new(Code::DeadlineExceeded, "the handler did not end in time");
    }
    if error.is::<Overloaded>() {
        return Status::new(Code::ResourceExhausted, "the replier has too much to do");
    }
    // Its text may not be meant for callers.
    tracing::debug!(%error, "a layer failed; its caller gets INTERNAL");
    Status::internal("a layer around the handler failed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::handler::raw;
    use std::time::Duration;
    use tower::ServiceBuilder;
    use tower::limit::ConcurrencyLimitLayer;
    use tower::load_shed::LoadShedLayer;
    use tower::timeout::TimeoutLayer;

    fn ask(handler: &Erased) -> BoxFuture<'static, Result<RawReply, Status>> {
        handler(RawRequest::for_tests("?"), Context::for_tests())
    }

    #[tokio::test]
    async fn a_timeout_is_an_exceeded_deadline_and_a_status_passes() {
        let never = raw(|_, _| std::future::pending::<Result<RawReply, Status>>());
        let layered = around(&TimeoutLayer::new(Duration::from_millis(1)), never);
        let status = ask(&layered).await.expect_err("it never ends");
        assert_eq!(status.code(), Code::DeadlineExceeded);

        let fails = raw(|_, _| async { Err::<RawReply, _>(Status::not_found("nothing")) });
        let layered = around(&TimeoutLayer::new(Duration::from_secs(3600)), fails);
        assert_eq!(ask(&layered).await.expect_err("nothing"), Status::not_found("nothing"));
    }

    #[tokio::test]
    async fn a_limit_holds_over_all_requests_and_is_waited_for_or_shed() {
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let held = Arc::clone(&gate);
        let handler = raw(move |_, _| {
            let gate = Arc::clone(&held);
            async move {
                gate.acquire().await.expect("open").forget();
                Ok::<_, Status>(RawReply::default())
            }
        });
        let waits = around(&ConcurrencyLimitLayer::new(1), Arc::clone(&handler));
        let (mut first, mut second) = (ask(&waits), ask(&waits));
        assert!(futures::poll!(&mut first).is_pending());
        gate.add_permits(2);
        assert!(futures::poll!(&mut second).is_pending(), "there is room for one only");
        first.await.expect("answered");
        second.await.expect("answered, after the first");

        let sheds = ServiceBuilder::new().layer(LoadShedLayer::new()).concurrency_limit(1);
        let sheds = around(&sheds.into_inner(), handler);
        let mut first = ask(&sheds);
        assert!(futures::poll!(&mut first).is_pending());
        let status = ask(&sheds).await.expect_err("no room");
        assert_eq!(status.code(), Code::ResourceExhausted);
        gate.add_permits(1);
        first.await.expect("answered");
    }

    #[test]
    fn other_errors_are_not_told() {
        let status = status("password wrong".into());
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("password"));
    }
}
