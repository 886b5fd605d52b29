//! One request from the lane to its reply: deadline, route, handler, answer.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use antiphon_common::config::ReplierSettings;
use antiphon_common::inherited::within;
use antiphon_common::kafka::LogGate;
use antiphon_common::metrics::ReplierMetrics;
use antiphon_common::{Code, Deadline, Status};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::handlers::context::{Context, RawReply, RawRequest};
use crate::handlers::router::{Answering, Route, Routes};
use crate::handlers::stream_handler::Items;
use crate::intake::cancellations::Cancellable;
use crate::intake::incoming::{Incoming, ReplyTo};
use crate::intake::tracker::Taken;
use crate::lane::{Again, Slot};
use crate::sending::duty::Duty;
use crate::sending::outgoing::{Lookup, Outgoing, Recipient, Reply};
use crate::sending::replies::Replies;

/// What running requests share.
pub(crate) struct Service {
    pub(crate) routes: Routes,
    pub(crate) replies: Arc<Replies>,
    pub(crate) metrics: ReplierMetrics,
    pub(crate) settings: ReplierSettings,
    pub(crate) gate: LogGate,
    /// The lane, for requests that need another place.
    pub(crate) again: OnceLock<Again>,
}

/// A handler that was found and given its request.
pub(crate) struct Begun {
    pub(crate) route: Arc<Route>,
    pub(crate) started: Instant,
    pub(crate) by: Deadline,
}

/// A request that is being answered.
struct Started {
    /// An error if there is no handler to run.
    begun: Result<(Begun, Work), Outcome>,
    /// `None` if nobody is to be answered.
    to: Option<Recipient>,
    cancellable: Option<Box<Cancellable>>,
    taken: Taken,
}

type Answer = Result<RawReply, Status>;

/// What a request came to.
pub(crate) enum Outcome {
    Replied(RawReply),
    /// It was tried, or could not be; this is why.
    Failed(Status),
    /// It came too late to be tried.
    Expired(Status),
    /// Nobody waits for an answer any more.
    Cancelled,
}

/// What a handler does with its request. It has not been polled yet.
enum Work {
    Once(BoxFuture<'static, Answer>),
    Stream(Items),
}

impl Service {
    /// Answers a request, whatever happens to its handler.
    pub(crate) async fn serve(&self, incoming: Box<Incoming>, slot: Slot) {
        if incoming.taken.is_to_be_looked_up() {
            return self.serve_once(incoming, slot).await;
        }
        let Some(Started { begun, to, cancellable, taken }) = self.start(incoming) else { return };
        let outcome = match begun {
            Ok((begun, Work::Once(handler))) => self.finish(begun, handler, cancellable).await,
            Ok((begun, Work::Stream(items))) => {
                return Box::pin(self.stream(begun, items, to, cancellable, taken)).await;
            }
            Err(outcome) => outcome,
        };
        drop(slot);
        self.dispose(outcome, to, taken);
    }

    /// Sends what a request came to.
    pub(crate) fn dispose(&self, outcome: Outcome, to: Option<Recipient>, mut taken: Taken) {
        let before: Vec<_> = self.keep(&mut taken, &outcome).into_iter().collect();
        let answer = match outcome {
            Outcome::Replied(reply) => Ok(reply),
            Outcome::Failed(status) | Outcome::Expired(status) => Err(status),
            Outcome::Cancelled => return taken.complete(),
        };
        let reply = to.map(|to| Reply { to, answer, position: None });
        let (duty, lookup) = (Duty::Whole(taken), Lookup::NotNeeded);
        self.replies.send(Outgoing { before, reply, duty, lookup });
    }

    /// Whom an answer is for; `None` if nobody is to get one.
    pub(crate) fn recipient(
        &self,
        reply_to: Option<ReplyTo>,
        context: &Context,
    ) -> Option<Recipient> {
        let max = || Deadline::after(self.settings.max_deadline());
        reply_to.map(|reply_to| Recipient {
            reply_to,
            correlation_id: context.correlation_id.clone(),
            key: context.key.clone(),
            deadline: context.deadline.unwrap_or_else(max),
        })
    }

    /// The request moves into the handler's own future here, so that the one above stays small.
    fn start(&self, incoming: Box<Incoming>) -> Option<Started> {
        let Incoming { request, context, reply_to, fault, mut cancellable, taken } = *incoming;
        if cancellable.as_mut().is_some_and(|request| !request.begin()) {
            taken.complete();
            return None;
        }
        let to = self.recipient(reply_to, &context);
        let begun = match fault {
            Some(status) => Err(Outcome::Failed(status)),
            None => self.begin(request, context),
        };
        Some(Started { begun, to, cancellable, taken })
    }

    fn begin(&self, request: RawRequest, context: Context) -> Result<(Begun, Work), Outcome> {
        let started = Instant::now();
        if context.deadline.is_some_and(|deadline| deadline.instant() <= started) {
            self.metrics.expired.inc();
            let why = "the deadline had passed before the request was handled";
            return Err(Outcome::Expired(Status::new(Code::DeadlineExceeded, why)));
        }
        let Some(route) = self.routes.find(context.topic(), request.endpoint.as_deref()) else {
            self.metrics.rejected("endpoint").inc();
            return Err(Outcome::Failed(no_handler(&request, &context)));
        };
        let cap = Deadline::at(started + self.settings.handler_timeout());
        let (by, work) = match (&route.answering, context.deadline) {
            (Answering::Once(handler), deadline) => {
                let by = deadline.map_or(cap, |deadline| deadline.earlier(cap));
                (by, Work::Once(handler(request, context)))
            }
            // A stream may well take longer than one reply, for as long as its caller waits.
            (Answering::Stream(handler), deadline) => {
                (deadline.unwrap_or(cap), Work::Stream(handler(request, context)))
            }
        };
        Ok((Begun { route: Arc::clone(route), started, by }, work))
    }

    /// Runs a handler to its end.
    async fn finish(
        &self,
        begun: Begun,
        handler: BoxFuture<'static, Answer>,
        cancellable: Option<Box<Cancellable>>,
    ) -> Outcome {
        let Begun { route, started, by } = begun;
        self.metrics.running.inc();
        let handler = within(by, AssertUnwindSafe(handler).catch_unwind());
        let ended = tokio::time::timeout_at(by.instant().into(), handler).await;
        self.metrics.running.dec();
        route.metrics.seconds.observe(started.elapsed().as_secs_f64());
        let cancelled = cancellable.is_some_and(|request| request.is_cancelled());
        let outcome = match ended {
            Ok(Err(_)) => Outcome::Failed(self.panicked(&route)),
            _ if cancelled => {
                route.metrics.cancelled.inc();
                return Outcome::Cancelled;
            }
            Ok(Ok(Ok(reply))) => {
                route.metrics.ok.inc();
                Outcome::Replied(reply)
            }
            Ok(Ok(Err(status))) => {
                route.metrics.error.inc();
                Outcome::Failed(status)
            }
            Err(_) => {
                route.metrics.timed_out.inc();
                let why = "the handler did not end in time";
                Outcome::Failed(Status::new(Code::DeadlineExceeded, why))
            }
        };
        if cancelled { Outcome::Cancelled } else { outcome }
    }

    pub(crate) fn panicked(&self, route: &Route) -> Status {
        route.metrics.panicked.inc();
        if let Some(held_back) = self.gate.pass() {
            tracing::error!(held_back, "a handler panicked; its caller gets INTERNAL");
        }
        Status::internal("the handler panicked")
    }
}

fn no_handler(request: &RawRequest, context: &Context) -> Status {
    let topic = context.topic();
    Status::new(
        Code::Unimplemented,
        match &request.endpoint {
            Some(name) => {
                format!("no handler for the endpoint `{}` of `{topic}`", name.escape_debug())
            }
            None => format!("no handler for requests to `{topic}` that name no endpoint"),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::router::Router;
    use crate::intake::tracker::{Outstanding, Tracker};
    use antiphon_common::config::KafkaSettings;
    use antiphon_common::inherited;
    use antiphon_common::kafka::Observer;
    use antiphon_common::wire::Headers;
    use std::sync::Mutex;
    use std::time::Duration;

    /// What a handler saw of the deadline that its calls inherit.
    type Seen = Arc<Mutex<Vec<Option<Deadline>>>>;

    /// A service whose replies go nowhere.
    fn service(router: Router) -> Service {
        let metrics = ReplierMetrics::new();
        let kafka = KafkaSettings::new("127.0.0.1:1");
        let replies = Replies::start(&kafka, Observer::default(), metrics.clone(), 1_000);
        Service {
            routes: router.into_routes(&metrics),
            replies: replies.expect("the settings are valid"),
            metrics,
            settings: ReplierSettings::default(),
            gate: LogGate::default(),
            again: OnceLock::new(),
        }
    }

    fn context(deadline: Option<Deadline>) -> Context {
        Context {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            key: None,
            headers: Headers::new(),
            correlation_id: "id".into(),
            deadline,
            attempt: 1,
            idempotency_key: None,
            cancelled: None,
        }
    }

    fn request() -> RawRequest {
        RawRequest { payload: "".into(), endpoint: None, content_type: None }
    }

    /// A plain function, which also runs before its future does.
    fn notes(seen: &Seen) -> Router {
        let seen = Arc::clone(seen);
        Router::new().handle_any("t", move |_, _| {
            seen.lock().expect("not poisoned").push(inherited::deadline());
            let seen = Arc::clone(&seen);
            async move {
                seen.lock().expect("not poisoned").push(inherited::deadline());
                Ok::<_, Status>(RawReply::default())
            }
        })
    }

    #[tokio::test]
    async fn calls_of_a_handler_inherit_its_deadline_and_at_most_its_time_limit() {
        let soon = Deadline::after(Duration::from_secs(5));
        let late = Deadline::after(Duration::from_secs(3600));
        for (given, expected) in [(Some(soon), Some(soon)), (Some(late), None), (None, None)] {
            let seen = Seen::default();
            let service = service(notes(&seen));
            let (begun, work) = service.begin(request(), context(given)).ok().expect("a handler");
            let cap = Deadline::at(begun.started + service.settings.handler_timeout());
            let Work::Once(handler) = work else { panic!("no stream") };
            let outcome = service.finish(begun, handler, None).await;
            assert!(matches!(outcome, Outcome::Replied(_)));
            let expected = Some(expected.unwrap_or(cap));
            assert_eq!(*seen.lock().expect("not poisoned"), [expected, expected]);
        }
        assert_eq!(inherited::deadline(), None);
    }

    #[tokio::test]
    async fn a_request_that_was_cancelled_in_the_queue_is_complete_and_its_handler_never_runs() {
        let seen = Seen::default();
        let service = service(notes(&seen));
        let tracker = Tracker::new("t".into(), 0, Outstanding::new(service.metrics.clone()));
        let cancellable = tracker.cancellations.register("id".into());
        tracker.cancellations.cancel(b"id");
        let reply_to =
            crate::intake::incoming::ReplyTo { topic: "t.replies".into(), partition: None };
        let incoming = Incoming {
            request: request(),
            context: context(None),
            reply_to: Some(reply_to),
            fault: None,
            cancellable: Some(Box::new(cancellable)),
            taken: tracker.take(0).expect("new"),
        };
        service.serve(Box::new(incoming), Slot::free()).await;
        assert!(seen.lock().expect("not poisoned").is_empty());
        assert_eq!(tracker.committable(), Some(1));
    }

    /// There are as many of these as requests that run, so their size counts.
    #[test]
    fn the_future_of_a_request_is_small() {
        fn size<'a, F: Future>(_: impl FnOnce(&'a Service, Box<Incoming>, Slot) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(Service::serve);
        assert!(size <= 600, "{size} bytes");
    }
}
