//! Which handler answers which request: by topic, then by endpoint.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use antiphon_common::Status;
use antiphon_common::metrics::{HandlerMetrics, ReplierMetrics};

use antiphon_common::Request;
use futures::Stream;

use crate::handlers::context::{Context, RawReply, RawRequest};
use crate::handlers::handler::{Erased, Handler, raw, typed};
use crate::handlers::stream_handler::{ErasedStream, StreamHandler, raw_stream, typed_stream};

/// The name of a handler that answers whatever endpoint is asked for, in metrics.
const ANY: &str = "*";

/// Handlers by topic and endpoint.
///
/// ```
/// use antiphon_common::{Json, Request, Status};
/// use antiphon_replier::{Context, Router};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct GetQuote { symbol: String }
/// # #[derive(Serialize, Deserialize)] struct Quote { price: f64 }
/// # impl Request for GetQuote {
/// #     type Reply = Quote;
/// #     type Codec = Json;
/// #     const TOPIC: &'static str = "quotes";
/// #     const ENDPOINT: &'static str = "get-quote";
/// # }
///
/// async fn get_quote(request: GetQuote, context: Context) -> Result<Quote, Status> {
///     Err(Status::not_found(format!("no quote for {}", request.symbol)))
/// }
///
/// let router = Router::new().handle(get_quote);
/// ```
#[derive(Default)]
pub struct Router {
    topics: HashMap<String, Endpoints>,
    priorities: HashMap<String, u8>,
}

#[derive(Default)]
struct Endpoints {
    named: HashMap<String, Answering>,
    any: Option<Answering>,
}

/// How requests are answered.
pub(crate) enum Answering {
    Once(Erased),
    Stream(ErasedStream),
}

impl Router {
    /// A router without handlers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler for the topic and endpoint of its request type. One that was there before
    /// is replaced.
    #[must_use]
    pub fn handle<Args: 'static, H: Handler<Args>>(self, handler: H) -> Self {
        self.named::<H::Request>(H::Request::TOPIC.to_owned(), Answering::Once(typed(handler)))
    }

    /// Adds a handler for another topic than its request type names: for one that urgent requests
    /// are sent to, say.
    #[must_use]
    pub fn handle_on<Args: 'static, H: Handler<Args>>(
        self,
        topic: impl Into<String>,
        handler: H,
    ) -> Self {
        self.named::<H::Request>(topic.into(), Answering::Once(typed(handler)))
    }

    /// Adds a handler that answers with a stream of replies, for the topic and endpoint of its
    /// request type. One that was there before is replaced.
    ///
    /// ```
    /// use antiphon_common::{Json, Request, Status};
    /// use antiphon_replier::Router;
    /// use futures::stream::{self, Stream};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct CountTo { last: u32 }
    /// # #[derive(Serialize, Deserialize)] struct Number { value: u32 }
    /// # impl Request for CountTo {
    /// #     type Reply = Number;
    /// #     type Codec = Json;
    /// #     const TOPIC: &'static str = "numbers";
    /// #     const ENDPOINT: &'static str = "count-to";
    /// # }
    ///
    /// fn count_to(request: CountTo) -> impl Stream<Item = Result<Number, Status>> {
    ///     stream::iter((1..=request.last).map(|value| Ok(Number { value })))
    /// }
    ///
    /// let router = Router::new().handle_stream(count_to);
    /// ```
    ///
    /// The stream is polled only while fewer than `replier.stream_window` of its items are
    /// unacknowledged. An error ends it, a panic ends it with `INTERNAL`, and so does the caller's
    /// deadline with `DEADLINE_EXCEEDED`, or the handler's time limit if the caller set none. When
    /// the request is cancelled the stream is dropped. After a crash it runs again from its first
    /// item; the requester drops what it has already.
    #[must_use]
    pub fn handle_stream<Args: 'static, H: StreamHandler<Args>>(self, handler: H) -> Self {
        let topic = H::Request::TOPIC.to_owned();
        self.named::<H::Request>(topic, Answering::Stream(typed_stream(handler)))
    }

    /// Adds a handler of bytes for all requests of a topic whose endpoint has no handler of its
    /// own, and for those that name none.
    #[must_use]
    pub fn handle_any<F, Fut, E>(mut self, topic: impl Into<String>, handler: F) -> Self
    where
        F: Fn(RawRequest, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<RawReply, E>> + Send + 'static,
        E: Into<Status>,
    {
        self.topics.entry(topic.into()).or_default().any = Some(Answering::Once(raw(handler)));
        self
    }

    /// The same, for a handler that answers with a stream of replies. It takes the place of one
    /// that [`Router::handle_any`] added.
    ///
    /// ```
    /// use antiphon_common::Status;
    /// use antiphon_replier::{Context, RawReply, RawRequest, Router};
    /// use futures::stream;
    ///
    /// let router = Router::new().handle_any_stream("lines", |request: RawRequest, _: Context| {
    ///     let lines: Vec<_> = request
    ///         .payload
    ///         .split(|byte| *byte == b'\n')
    ///         .map(|line| Ok::<_, Status>(RawReply::new(request.payload.slice_ref(line))))
    ///         .collect();
    ///     stream::iter(lines)
    /// });
    /// ```
    #[must_use]
    pub fn handle_any_stream<F, S, E>(mut self, topic: impl Into<String>, handler: F) -> Self
    where
        F: Fn(RawRequest, Context) -> S + Send + Sync + 'static,
        S: Stream<Item = Result<RawReply, E>> + Send + 'static,
        E: Into<Status> + 'static,
    {
        self.topics.entry(topic.into()).or_default().any =
            Some(Answering::Stream(raw_stream(handler)));
        self
    }

    /// Lets queued requests of this topic start before those of topics with a lower priority; 0 is
    /// what topics have that are not named. So that the others do not starve, one start of sixteen
    /// goes to them. A topic without handlers is not read, whatever its priority.
    ///
    /// ```
    /// # use antiphon_common::Status;
    /// # use antiphon_replier::{Context, RawReply, RawRequest, Router};
    /// # async fn job(request: RawRequest, _: Context) -> Result<RawReply, Status> {
    /// #     Ok(RawReply::new(request.payload))
    /// # }
    /// let router = Router::new()
    ///     .handle_any("jobs", job)
    ///     .handle_any("jobs.urgent", job)
    ///     .priority("jobs.urgent", 1);
    /// ```
    #[must_use]
    pub fn priority(mut self, topic: impl Into<String>, priority: u8) -> Self {
        self.priorities.insert(topic.into(), priority);
        self
    }

    /// The topics that have handlers, in alphabetical order.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        let mut topics: Vec<_> = self.topics.keys().cloned().collect();
        topics.sort();
        topics
    }

    /// The table that running repliers look handlers up in.
    pub(crate) fn into_routes(self, metrics: &ReplierMetrics) -> Routes {
        let (mut names, mut priorities) = (Vec::new(), Vec::new());
        let table = self.topics.into_iter().map(|(topic, endpoints)| {
            let priority = self.priorities.get(&topic).copied().unwrap_or(0);
            let mut route = |name: &str, answering| {
                names.push(name.to_owned());
                priorities.push(priority);
                let (number, metrics) = (names.len() - 1, metrics.handler(name));
                Arc::new(Route { answering, metrics, number })
            };
            let named: HashMap<_, _> = endpoints
                .named
                .into_iter()
                .map(|(name, handler)| (name.clone(), route(&name, handler)))
                .collect();
            let any = endpoints.any.map(|handler| route(ANY, handler));
            // A caller that names no endpoint, as Spring's do, means the only one there is.
            let unnamed = match (&any, named.len()) {
                (None, 1) => named.values().next().cloned(),
                _ => any.clone(),
            };
            (topic, TopicRoutes { named, any, unnamed })
        });
        let topics = table.collect();
        // Requests that no handler is found for are refused at once; they queue by themselves.
        priorities.push(0);
        Routes { topics, names, priorities }
    }

    fn named<R: Request>(mut self, topic: String, answering: Answering) -> Self {
        let endpoints = self.topics.entry(topic).or_default();
        endpoints.named.insert(R::ENDPOINT.to_owned(), answering);
        self
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Router").field(&self.topics()).finish()
    }
}

/// A handler and its metrics.
pub(crate) struct Route {
    pub(crate) answering: Answering,
    pub(crate) metrics: HandlerMetrics,
    /// Its place among all routes.
    pub(crate) number: usize,
}

/// The router, resolved.
pub(crate) struct Routes {
    topics: HashMap<String, TopicRoutes>,
    names: Vec<String>,
    priorities: Vec<u8>,
}

struct TopicRoutes {
    named: HashMap<String, Arc<Route>>,
    any: Option<Arc<Route>>,
    unnamed: Option<Arc<Route>>,
}

impl Routes {
    /// Finds the handler of a request.
    pub(crate) fn find(&self, topic: &str, endpoint: Option<&str>) -> Option<&Arc<Route>> {
        let routes = self.topics.get(topic)?;
        match endpoint {
            Some(name) => routes.named.get(name).or(routes.any.as_ref()),
            None => routes.unnamed.as_ref(),
        }
    }

    /// The number of the route of a request; the number after the last if there is none.
    pub(crate) fn number(&self, topic: &str, endpoint: Option<&str>) -> usize {
        self.find(topic, endpoint).map_or(self.names.len(), |route| route.number)
    }

    /// The names of all routes, by number.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Their priorities, and that of requests without a route.
    pub(crate) fn priorities(&self) -> &[u8] {
        &self.priorities
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn any(router: Router, topic: &str) -> Router {
        router.handle_any(topic, |request: RawRequest, _| async move {
            Ok::<_, Status>(RawReply::new(request.payload))
        })
    }

    struct Ask;
    impl AsRef<[u8]> for Ask {
        fn as_ref(&self) -> &[u8] {
            b"ask"
        }
    }
    impl From<Vec<u8>> for Ask {
        fn from(_: Vec<u8>) -> Self {
            Self
        }
    }
    impl Request for Ask {
        type Reply = Bytes;
        type Codec = antiphon_common::Raw;
        const TOPIC: &'static str = "t";
        const ENDPOINT: &'static str = "ask";
    }

    async fn answer(_: Ask) -> Result<Bytes, Status> {
        Ok(Bytes::new())
    }

    #[test]
    fn by_endpoint_then_any_then_nothing() {
        let metrics = ReplierMetrics::new();
        let routes = Router::new().handle(answer).into_routes(&metrics);
        assert!(routes.find("t", Some("ask")).is_some());
        assert!(routes.find("t", None).is_some(), "the only endpoint of the topic");
        assert!(routes.find("t", Some("other")).is_none());
        assert!(routes.find("u", Some("ask")).is_none());

        let routes = any(Router::new().handle(answer), "t").into_routes(&metrics);
        let [named, other, unnamed] = [Some("ask"), Some("other"), None]
            .map(|endpoint| routes.find("t", endpoint).expect("a handler"));
        assert!(!Arc::ptr_eq(named, other));
        assert!(Arc::ptr_eq(other, unnamed));

        let routes = Router::new().handle_on("urgent", answer).into_routes(&metrics);
        assert!(routes.find("urgent", Some("ask")).is_some());
        assert!(routes.find("t", Some("ask")).is_none());
    }
}
