//! Handlers of requests that nobody waits for an answer to.

use std::sync::Arc;

use antiphon_common::{Request, Status};

use crate::handlers::context::RawReply;
use crate::handlers::context::{Context, RawRequest};
use crate::handlers::extract::{Extract, Needs, Parts, for_all_arguments};
use crate::handlers::handler::raw;
use crate::handlers::handler::{Erased, Given, decode};
use crate::handlers::router::Router;
use crate::handlers::routes::Answering;
use antiphon_common::service::Kind;

/// An async function that handles one type of request without an answer:
/// `async fn(R, …) -> Result<(), E>`, where `R: Request` and `E: Into<Status>`. Behind the request
/// it takes up to four arguments that implement [`Extract`], such as [`Context`](crate::Context).
///
/// `Args` only tells the forms apart and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a one-way handler",
    label = "not a one-way handler",
    note = "it is `async fn(R, …) -> Result<(), E>` with `R: Request` and `E: Into<Status>`",
    note = "behind the request it takes at most four arguments, each of a type that implements `Extract`, such as `Context`"
)]
pub trait OneWayHandler<Args>: Send + Sync + 'static {
    /// The type of request that it handles.
    type Request: Request;

    /// Says which states it needs.
    fn needs(needs: &mut Needs);

    /// Handles a request.
    fn call(
        &self,
        request: Self::Request,
        parts: Parts,
    ) -> impl Future<Output = Result<(), Status>> + Send;
}

macro_rules! one_way_handler {
    ($($extractor:ident),*) => {
        impl<F, Fut, R, E, $($extractor),*> OneWayHandler<(R, $($extractor,)*)> for F
        where
            F: Fn(R, $($extractor),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<(), E>> + Send,
            R: Request,
            E: Into<Status>,
            $($extractor: Extract,)*
        {
            type Request = R;

            fn needs(_needs: &mut Needs) {
                $($extractor::needs(_needs);)*
            }

            fn call(
                &self,
                request: R,
                parts: Parts,
            ) -> impl Future<Output = Result<(), Status>> + Send {
                let begin = || Ok(self(request, $($extractor::extract(&parts)?),*));
                let ended: Result<Fut, Status> = begin();
                drop(parts);
                async { ended?.await.map_err(Into::into) }
            }
        }
    };
}

for_all_arguments!(one_way_handler);

impl Router {
    /// Adds a handler of requests that need no answer, for the topic and endpoint of its request
    /// type. One that was there before is replaced.
    ///
    /// Requests to it may come without reply topic and correlation id. One that names a reply topic
    /// gets an empty reply when the handler has ended, or its error.
    #[must_use]
    pub fn handle_one_way<Args: 'static, H: OneWayHandler<Args>>(self, handler: H) -> Self {
        let answering = Answering::Once(typed_one_way(handler, &self.given));
        self.named::<H::Request>(None, answering, Kind::OneWay, H::needs)
    }

    /// The same, of bytes, for all requests of a topic whose endpoint has no handler of its own.
    #[must_use]
    pub fn handle_any_one_way<F, Fut, E>(mut self, topic: impl Into<String>, handler: F) -> Self
    where
        F: Fn(RawRequest, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Status> + 'static,
    {
        let handler = Arc::new(handler);
        let handler = raw(move |request, context| {
            let handler = Arc::clone(&handler);
            async move { handler(request, context).await.map(|()| RawReply::default()) }
        });
        self.any(topic.into(), Answering::Once(handler), Kind::OneWay);
        self
    }
}

/// Wraps a typed handler. Whoever asks for an answer all the same gets an empty one.
pub(crate) fn typed_one_way<Args: 'static, H: OneWayHandler<Args>>(
    handler: H,
    states: &Given,
) -> Erased {
    let handler = Arc::new((handler, Given::clone(states)));
    Arc::new(move |raw, context| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let (handler, states) = &*handler;
            let request = decode::<H::Request>(&raw)?;
            handler.call(request, states.parts(raw, context)).await?;
            Ok(RawReply::default())
        })
    })
}
