//! Handlers: plain async functions, and how they become one type.

use std::sync::Arc;

use antiphon_common::{Codec, Request, Status};
use futures::FutureExt;
use futures::future::{BoxFuture, lazy};

use crate::handlers::context::{Context, RawReply, RawRequest};

/// An async function that answers one type of request:
/// `async fn(R) -> Result<R::Reply, E>` or `async fn(R, Context) -> Result<R::Reply, E>`, where
/// `R: Request` and `E: Into<Status>`.
///
/// `Args` only tells the two forms apart and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is `async fn(R) -> Result<R::Reply, E>` or `async fn(R, Context) -> Result<R::Reply, E>` with `R: Request` and `E: Into<Status>`",
    note = "it must be `Clone + Send + Sync + 'static`, and its future `Send`"
)]
pub trait Handler<Args>: Send + Sync + 'static {
    /// The type of request that it answers.
    type Request: Request;

    /// Answers a request.
    fn call(
        &self,
        request: Self::Request,
        context: Context,
    ) -> impl Future<Output = Result<<Self::Request as Request>::Reply, Status>> + Send;
}

impl<F, Fut, R, E> Handler<(R,)> for F
where
    F: Fn(R) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R::Reply, E>> + Send,
    R: Request,
    E: Into<Status>,
{
    type Request = R;

    fn call(
        &self,
        request: R,
        _: Context,
    ) -> impl Future<Output = Result<R::Reply, Status>> + Send {
        let answer = self(request);
        async { answer.await.map_err(Into::into) }
    }
}

impl<F, Fut, R, E> Handler<(R, Context)> for F
where
    F: Fn(R, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R::Reply, E>> + Send,
    R: Request,
    E: Into<Status>,
{
    type Request = R;

    fn call(
        &self,
        request: R,
        context: Context,
    ) -> impl Future<Output = Result<R::Reply, Status>> + Send {
        let answer = self(request, context);
        async { answer.await.map_err(Into::into) }
    }
}

/// A handler of any kind, as the router keeps it.
pub(crate) type Erased =
    Arc<dyn Fn(RawRequest, Context) -> BoxFuture<'static, Result<RawReply, Status>> + Send + Sync>;

/// Wraps a typed handler in its codec.
pub(crate) fn typed<Args: 'static, H: Handler<Args>>(handler: H) -> Erased {
    let handler = Arc::new(handler);
    Arc::new(move |raw, context| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let request = decode::<H::Request>(&raw)?;
            let reply = handler.call(request, context).await?;
            encode::<H::Request>(&reply)
        })
    })
}

/// Wraps a handler of bytes.
pub(crate) fn raw<F, Fut, E>(handler: F) -> Erased
where
    F: Fn(RawRequest, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<RawReply, E>> + Send + 'static,
    E: Into<Status>,
{
    let handler = Arc::new(handler);
    Arc::new(move |request, context| {
        let handler = Arc::clone(&handler);
        // The handler may be a plain function that runs, and panics or makes calls, before its
        // future does: so it is called where panics are caught and deadlines inherited.
        let answer = lazy(move |_| handler(request, context)).flatten();
        Box::pin(answer.map(|answer| answer.map_err(Into::into)))
    })
}

pub(crate) fn decode<R: Request>(raw: &RawRequest) -> Result<R, Status> {
    <R::Codec as Codec<R>>::decode(&raw.payload)
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

pub(crate) fn encode<R: Request>(reply: &R::Reply) -> Result<RawReply, Status> {
    let mut payload = Vec::new();
    <R::Codec as Codec<R::Reply>>::encode(reply, &mut payload)
        .map_err(|error| Status::internal(error.to_string()))?;
    Ok(RawReply::new(payload).content_type(<R::Codec as Codec<R::Reply>>::CONTENT_TYPE))
}
