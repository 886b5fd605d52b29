//! Which handler answers which request: by topic, then by endpoint.

use std::collections::HashMap;
use std::fmt;

use antiphon_common::metrics::ReplierMetrics;
use antiphon_common::service::{Kind, RESERVED};
use antiphon_common::{Request, Status};
use futures::Stream;

use crate::handlers::context::{Context, RawReply, RawRequest};
use crate::handlers::extract::{Needs, States};
use crate::handlers::handler::{Given, Handler, raw, typed};
use crate::handlers::routes::{Answering, Endpoints, Registered, Routes};
use crate::handlers::stream_handler::{StreamHandler, raw_stream, typed_stream};

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
    pub(super) topics: HashMap<String, Endpoints>,
    priorities: HashMap<String, u8>,
    states: States,
    /// Where handlers find the states when the router is resolved.
    pub(super) given: Given,
    needs: Needs,
    has_no_builtin: bool,
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
        self.add_typed::<Args, H>(None, handler)
    }

    /// Adds a handler for another topic than its request type names: for one that urgent requests
    /// are sent to, say.
    #[must_use]
    pub fn handle_on<Args: 'static, H: Handler<Args>>(
        self,
        topic: impl Into<String>,
        handler: H,
    ) -> Self {
        self.add_typed::<Args, H>(Some(topic.into()), handler)
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
        let answering = Answering::Stream(typed_stream(handler, &self.given));
        self.named::<H::Request>(None, answering, Kind::Stream, H::needs)
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
        self.any(topic.into(), Answering::Once(raw(handler)), Kind::Reply);
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
        self.any(topic.into(), Answering::Stream(raw_stream(handler)), Kind::Stream);
        self
    }

    /// Gives handlers a state, which they take as [`State<T>`](crate::State). There is one of each
    /// type, for all handlers of the router, also those that were added before.
    #[must_use]
    pub fn with_state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Leaves out the endpoints that every replier has: `antiphon.ping`, `antiphon.info` and
    /// `antiphon.stats`.
    #[must_use]
    pub fn without_builtin(mut self) -> Self {
        self.has_no_builtin = true;
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

    /// Whether the endpoints are wanted that every replier has.
    pub(crate) fn has_builtin(&self) -> bool {
        !self.has_no_builtin
    }

    /// What is wrong with the router as a whole.
    pub(crate) fn check(&self) -> Result<(), String> {
        let endpoints = self.topics.values().flat_map(|endpoints| endpoints.named.keys());
        if let Some(name) = endpoints.into_iter().find(|name| name.starts_with(RESERVED)) {
            return Err(format!(
                "the endpoint `{name}` has a name that begins with `{RESERVED}`, as only the \
                 replier's own do; give it another one"
            ));
        }
        match self.states.missing(&self.needs) {
            Some(name) => Err(format!(
                "a handler takes State<{name}>, and the router has no state of that type; call \
                 `.with_state(…)` with one"
            )),
            None => Ok(()),
        }
    }

    /// The table that running repliers look handlers up in.
    pub(crate) fn into_routes(self, metrics: &ReplierMetrics) -> Routes {
        self.given.settle(self.states);
        Routes::new(self.topics, &self.priorities, metrics)
    }

    fn add_typed<Args: 'static, H: Handler<Args>>(self, topic: Option<String>, handler: H) -> Self {
        let answering = Answering::Once(typed(handler, &self.given));
        self.named::<H::Request>(topic, answering, Kind::Reply, H::needs)
    }

    /// Adds a typed handler; its topic is that of its type unless one is named.
    pub(super) fn named<R: Request>(
        mut self,
        topic: Option<String>,
        answering: Answering,
        kind: Kind,
        needs: fn(&mut Needs),
    ) -> Self {
        needs(&mut self.needs);
        let topic = topic.unwrap_or_else(|| R::TOPIC.to_owned());
        let endpoints = self.topics.entry(topic).or_default();
        endpoints.named.insert(R::ENDPOINT.to_owned(), Registered { answering, kind });
        self
    }

    /// Adds a handler for all endpoints that have none of their own.
    pub(super) fn any(&mut self, topic: String, answering: Answering, kind: Kind) {
        self.topics.entry(topic).or_default().any = Some(Registered { answering, kind });
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Router").field(&self.topics()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::sync::Arc;

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

    #[test]
    fn reserved_names_and_missing_states_are_found_before_the_start() {
        use crate::handlers::extract::State;

        async fn takes_state(_: Ask, _: State<u8>) -> Result<Bytes, Status> {
            Ok(Bytes::new())
        }
        let router = Router::new().handle(takes_state);
        assert!(router.check().expect_err("no state").contains("State<u8>"));
        assert_eq!(router.with_state(7_u8).check(), Ok(()));

        let mut router = Router::new().handle(answer);
        let endpoints = router.topics.get_mut("t").expect("a topic");
        let handler = endpoints.named.remove("ask").expect("a handler");
        endpoints.named.insert("antiphon.mine".into(), handler);
        assert!(router.check().expect_err("reserved").contains("`antiphon.mine`"));
    }
}
