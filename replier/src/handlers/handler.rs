//! Handlers: plain async functions, and how they become one type.

use std::sync::Arc;

use antiphon_common::{Codec, Request, Status};
use futures::FutureExt;
use futures::future::{BoxFuture, lazy};

use crate::handlers::context::{Context, RawReply, RawRequest};
use crate::handlers::extract::{Extract, Needs, Parts, States, for_all_arguments};

/// An async function that answers one type of request:
/// `async fn(R, …) -> Result<R::Reply, E>`, where `R: Request` and `E: Into<Status>`. Behind the
/// request it takes up to four arguments that implement [`Extract`], such as [`Context`].
///
/// `Args` only tells the forms apart and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is `async fn(R, …) -> Result<R::Reply, E>` with `R: Request` and `E: Into<Status>`",
    note = "behind the request it takes at most four arguments, each of a type that implements `Extract`, such as `Context`",
    note = "it must be `Send + Sync + 'static`, and its future `Send`"
)]
pub trait Handler<Args>: Send + Sync + 'static {
    /// The type of request that it answers.
    type Request: Request;

    /// Says which states it needs.
    fn needs(needs: &mut Needs);

    /// Answers a request.
    fn call(
        &self,
        request: Self::Request,
        parts: Parts,
    ) -> impl Future<Output = Result<<Self::Request as Request>::Reply, Status>> + Send;
}

macro_rules! handler {
    ($($extractor:ident),*) => {
        impl<F, Fut, R, E, $($extractor),*> Handler<(R, $($extractor,)*)> for F
        where
            F: Fn(R, $($extractor),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<R::Reply, E>> + Send,
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
            ) -> impl Future<Output = Result<R::Reply, Status>> + Send {
                let begin = || Ok(self(request, $($extractor::extract(&parts)?),*));
                let answer: Result<Fut, Status> = begin();
                // What is not in its arguments is not kept while the handler runs.
                drop(parts);
                async { answer?.await.map_err(Into::into) }
            }
        }
    };
}

for_all_arguments!(handler);

/// A handler of any kind, as the router keeps it.
pub(crate) type Erased =
    Arc<dyn Fn(RawRequest, Context) -> BoxFuture<'static, Result<RawReply, Status>> + Send + Sync>;

/// Wraps a typed handler in its codec.
pub(crate) fn typed<Args: 'static, H: Handler<Args>>(handler: H, states: &Given) -> Erased {
    let handler = Arc::new((handler, Given::clone(states)));
    Arc::new(move |raw, context| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let (handler, states) = &*handler;
            let request = decode::<H::Request>(&raw)?;
            let reply = handler.call(request, states.parts(raw, context)).await?;
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

/// The states of a router, which may be given after its handlers and are known when it is resolved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(Arc<std::sync::OnceLock<States>>);

impl Given {
    /// Nothing changes afterwards.
    pub(crate) fn settle(&self, states: States) {
        // A router is resolved once.
        let _ = self.0.set(states);
    }

    pub(crate) fn parts(&self, request: RawRequest, context: Context) -> Parts {
        Parts { request, context, states: self.0.get().cloned().unwrap_or_default() }
    }
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
