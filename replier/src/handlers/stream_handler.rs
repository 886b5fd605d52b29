//! Handlers that answer with a stream of replies, and how they become one type.

use std::future::ready;
use std::sync::Arc;

use antiphon_common::{Request, Status};
use futures::future::lazy;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};

use crate::handlers::context::{Context, RawReply, RawRequest};
use crate::handlers::extract::{Extract, Needs, Parts, for_all_arguments};
use crate::handlers::handler::{Given, decode, encode};

/// A function from one type of request to a stream of its replies:
/// `fn(R, …) -> impl Stream<Item = Result<R::Reply, E>>`, where `R: Request` and `E: Into<Status>`.
/// Behind the request it takes up to four arguments that implement [`Extract`], such as [`Context`].
///
/// The function is plain, not async. One that has to wait before it has a stream puts the waiting
/// into the stream:
///
/// ```
/// use antiphon_common::{Json, Request, Status};
/// use antiphon_replier::Router;
/// use futures::stream::{self, Stream, TryStreamExt};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct ListQuotes { market: String }
/// # #[derive(Serialize, Deserialize)] struct Quote { price: f64 }
/// # impl Request for ListQuotes {
/// #     type Reply = Quote;
/// #     type Codec = Json;
/// #     const TOPIC: &'static str = "quotes";
/// #     const ENDPOINT: &'static str = "list-quotes";
/// # }
/// # async fn open(market: &str) -> Result<Vec<Quote>, Status> { Ok(vec![]) }
///
/// fn list_quotes(request: ListQuotes) -> impl Stream<Item = Result<Quote, Status>> {
///     stream::once(async move {
///         let quotes = open(&request.market).await?;
///         Ok(stream::iter(quotes.into_iter().map(Ok)))
///     })
///     .try_flatten()
/// }
///
/// let router = Router::new().handle_stream(list_quotes);
/// ```
///
/// `Args` only tells the forms apart and is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of streams",
    label = "not a handler of streams",
    note = "it is `fn(R, …) -> impl Stream<Item = Result<R::Reply, E>>` with `R: Request` and `E: Into<Status>`",
    note = "behind the request it takes at most four arguments, each of a type that implements `Extract`, such as `Context`",
    note = "it must be `Send + Sync + 'static`, and its stream `Send + 'static`; it is not `async`"
)]
pub trait StreamHandler<Args>: Send + Sync + 'static {
    /// The type of request that it answers.
    type Request: Request;

    /// Says which states it needs.
    fn needs(needs: &mut Needs);

    /// Answers a request.
    ///
    /// # Errors
    /// If one of its arguments cannot be had.
    fn call(
        &self,
        request: Self::Request,
        parts: Parts,
    ) -> Result<
        impl Stream<Item = Result<<Self::Request as Request>::Reply, Status>>
        + Send
        + 'static
        + use<Self, Args>,
        Status,
    >;
}

macro_rules! stream_handler {
    ($($extractor:ident),*) => {
        impl<F, S, R, E, $($extractor),*> StreamHandler<(R, $($extractor,)*)> for F
        where
            F: Fn(R, $($extractor),*) -> S + Send + Sync + 'static,
            S: Stream<Item = Result<R::Reply, E>> + Send + 'static,
            R: Request,
            E: Into<Status> + 'static,
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
            ) -> Result<
                impl Stream<Item = Result<R::Reply, Status>>
                + Send
                + 'static
                + use<F, S, R, E, $($extractor),*>,
                Status,
            > {
                let items = self(request, $($extractor::extract(&parts)?),*);
                // What is not in its arguments is not kept for as long as the stream.
                drop(parts);
                Ok(items.map_err(Into::into))
            }
        }
    };
}

for_all_arguments!(stream_handler);

/// The replies to one request.
pub(crate) type Items = BoxStream<'static, Result<RawReply, Status>>;

/// A handler of streams of any kind, as the router keeps it.
pub(crate) type ErasedStream = Arc<dyn Fn(RawRequest, Context) -> Items + Send + Sync>;

/// Wraps a typed handler in its codec.
pub(crate) fn typed_stream<Args: 'static, H: StreamHandler<Args>>(
    handler: H,
    states: &Given,
) -> ErasedStream {
    let handler = Arc::new((handler, Given::clone(states)));
    Arc::new(move |raw, context| {
        let handler = Arc::clone(&handler);
        // The function runs when the stream is polled first, where a panic is caught.
        let items = async move {
            let (handler, states) = &*handler;
            let items = decode::<H::Request>(&raw)
                .and_then(|request| handler.call(request, states.parts(raw, context)));
            match items {
                Ok(items) => items.map(|item| encode::<H::Request>(&item?)).left_stream(),
                Err(status) => stream::once(ready(Err(status))).right_stream(),
            }
        };
        items.flatten_stream().boxed()
    })
}

/// Wraps a handler of bytes.
pub(crate) fn raw_stream<F, S, E>(handler: F) -> ErasedStream
where
    F: Fn(RawRequest, Context) -> S + Send + Sync + 'static,
    S: Stream<Item = Result<RawReply, E>> + Send + 'static,
    E: Into<Status>,
{
    let handler = Arc::new(handler);
    Arc::new(move |request, context| {
        let handler = Arc::clone(&handler);
        let items = lazy(move |_| handler(request, context)).flatten_stream();
        items.map(|item| item.map_err(Into::into)).boxed()
    })
}
