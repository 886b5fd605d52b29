//! The router, resolved: the handler of each request that arrives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use antiphon_common::metrics::{HandlerMetrics, ReplierMetrics};
use antiphon_common::service::{Endpoint, Kind, RESERVED};

use crate::handlers::handler::Erased;
use crate::handlers::pool::Pool;
use crate::handlers::stream_handler::ErasedStream;

/// The name of a handler that answers whatever endpoint is asked for, in metrics.
pub(crate) const ANY: &str = "*";

/// How requests are answered.
pub(crate) enum Answering {
    Once(Erased),
    Stream(ErasedStream),
}

/// A handler, and how it answers.
pub(crate) struct Registered {
    pub(crate) answering: Answering,
    pub(crate) kind: Kind,
}

/// The handlers of one topic.
#[derive(Default)]
pub(crate) struct Endpoints {
    pub(crate) named: HashMap<String, Registered>,
    pub(crate) any: Option<Registered>,
}

/// A handler and its metrics.
pub(crate) struct Route {
    pub(crate) answering: Answering,
    pub(crate) kind: Kind,
    pub(crate) metrics: HandlerMetrics,
    /// Its place among all routes.
    pub(crate) number: usize,
}

/// The table that running repliers look handlers up in.
pub(crate) struct Routes {
    /// Few and looked up for every request: comparing their names is quicker than hashing one.
    topics: BTreeMap<String, TopicRoutes>,
    names: Vec<String>,
    priorities: Vec<u8>,
    /// The endpoints that all topics have.
    builtin: BTreeMap<&'static str, Arc<Route>>,
    /// Where handlers run that block.
    pub(crate) pool: Pool,
}

struct TopicRoutes {
    named: BTreeMap<String, Arc<Route>>,
    any: Option<Arc<Route>>,
    unnamed: Option<Arc<Route>>,
}

impl Endpoints {
    /// All of them, to be changed.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Registered> {
        self.named.values_mut().chain(&mut self.any)
    }
}

impl Routes {
    pub(crate) fn new(
        topics: HashMap<String, Endpoints>,
        priorities: &HashMap<String, u8>,
        metrics: &ReplierMetrics,
    ) -> Self {
        let mut routes = Self {
            topics: BTreeMap::new(),
            names: Vec::new(),
            // What is answered at once queues by itself.
            priorities: vec![0],
            builtin: BTreeMap::new(),
            pool: Pool::default(),
        };
        for (topic, endpoints) in topics {
            let priority = priorities.get(&topic).copied().unwrap_or(0);
            let mut route = |name: &str, handler| {
                routes.priorities.insert(routes.names.len(), priority);
                routes.route(name, handler, metrics)
            };
            let named = endpoints.named.into_iter();
            let named: BTreeMap<_, _> =
                named.map(|(name, handler)| (name.clone(), route(&name, handler))).collect();
            let any = endpoints.any.map(|handler| route(ANY, handler));
            // A caller that names no endpoint, as Spring's do, means the only one there is.
            let unnamed = match (&any, named.len()) {
                (None, 1) => named.values().next().cloned(),
                _ => any.clone(),
            };
            routes.topics.insert(topic, TopicRoutes { named, any, unnamed });
        }
        routes
    }

    /// Adds an endpoint that all topics have.
    pub(crate) fn add(&mut self, name: &'static str, handler: Erased, metrics: &ReplierMetrics) {
        let handler = Registered { answering: Answering::Once(handler), kind: Kind::Reply };
        let route = self.route(name, handler, metrics);
        self.builtin.insert(name, route);
    }

    /// Finds the handler of a request.
    pub(crate) fn find(&self, topic: &str, endpoint: Option<&str>) -> Option<&Arc<Route>> {
        let routes = self.topics.get(topic)?;
        let Some(name) = endpoint else { return routes.unnamed.as_ref() };
        if name.starts_with(RESERVED)
            && let Some(builtin) = self.builtin.get(name)
        {
            return Some(builtin);
        }
        routes.named.get(name).or(routes.any.as_ref())
    }

    /// The number under which a request queues: that of its handler, or the one after the last for
    /// all that are answered at once, by a refusal or by an endpoint that all topics have. The
    /// application's handlers divide the places among themselves, so those must not count.
    pub(crate) fn number(&self, topic: &str, endpoint: Option<&str>) -> usize {
        let last = self.priorities.len() - 1;
        self.find(topic, endpoint).map_or(last, |route| route.number.min(last))
    }

    /// The names of all routes, by number.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The priorities of the application's handlers, and that of all that is answered at once.
    pub(crate) fn priorities(&self) -> &[u8] {
        &self.priorities
    }

    /// Whether it is an endpoint that all topics have.
    pub(crate) fn is_builtin(&self, route: &Route) -> bool {
        route.number + 1 >= self.priorities.len()
    }

    /// Whether requests to this endpoint need no answer.
    pub(crate) fn is_one_way(&self, topic: &str, endpoint: Option<&str>) -> bool {
        self.find(topic, endpoint).is_some_and(|route| route.kind == Kind::OneWay)
    }

    /// What is served, by topic; the endpoints that all topics have are left out.
    pub(crate) fn listed(&self) -> BTreeMap<String, Vec<Endpoint>> {
        let topics = self.topics.iter().map(|(topic, routes)| {
            let any = routes.any.iter().map(|route| (ANY, route));
            let named = routes.named.iter().map(|(name, route)| (name.as_str(), route));
            let mut endpoints: Vec<_> = named
                .chain(any)
                .map(|(name, route)| Endpoint { name: name.to_owned(), kind: route.kind })
                .collect();
            endpoints.sort();
            (topic.clone(), endpoints)
        });
        topics.collect()
    }

    fn route(&mut self, name: &str, handler: Registered, metrics: &ReplierMetrics) -> Arc<Route> {
        let Registered { answering, kind } = handler;
        let number = self.names.len();
        self.names.push(name.to_owned());
        Arc::new(Route { answering, kind, metrics: metrics.handler(name), number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::context::{RawReply, RawRequest};
    use crate::handlers::router::Router;
    use antiphon_common::Status;
    use antiphon_common::service::PING;

    #[test]
    fn endpoints_that_all_topics_have_take_no_places_from_the_applications() {
        let echo =
            |request: RawRequest, _| async move { Ok::<_, Status>(RawReply::new(request.payload)) };
        let metrics = ReplierMetrics::new();
        let router = Router::new().handle_any("a", echo).handle_any("b", echo).priority("b", 3);
        let mut routes = router.into_routes(&metrics);
        routes.add(PING, Arc::new(|_, _| Box::pin(async { Ok(RawReply::default()) })), &metrics);
        let mut priorities = routes.priorities().to_vec();
        assert_eq!(priorities.pop(), Some(0));
        let (a, b) = (routes.number("a", None), routes.number("b", Some("x")));
        assert_eq!((priorities.len(), priorities[a], priorities[b]), (2, 0, 3));
        assert_eq!((routes.number("a", Some(PING)), routes.number("c", None)), (2, 2));
        let ping = routes.find("b", Some(PING)).expect("every topic has it");
        assert_eq!(routes.names()[ping.number], PING);
        assert!(routes.is_builtin(ping));
        assert!(!routes.is_builtin(routes.find("a", None).expect("a handler")));
        assert!(!routes.is_builtin(routes.find("b", None).expect("a handler")));
    }
}
