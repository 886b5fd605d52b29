//! One request from the lane to its reply: deadline, route, handler, answer.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use antiphon_common::config::ReplierSettings;
use antiphon_common::kafka::LogGate;
use antiphon_common::metrics::ReplierMetrics;
use antiphon_common::payloads::LargePayloads;
use antiphon_common::{Code, Deadline, Status};
use futures::future::BoxFuture;

use crate::failures::Failures;
use crate::failures::original::Original;
use crate::handlers::context::{Context, Job, RawReply, RawRequest};
use crate::handlers::routes::{Answering, Route, Routes};
use crate::handlers::stream_handler::Items;
use crate::intake::cancellations::Cancellable;
use crate::intake::incoming::{Incoming, ReplyTo};
use crate::intake::tracker::Taken;
use crate::lane::{self, Slot};
use crate::running::attempts::{Again, Ended};
use crate::running::beyond::Beyond;
use crate::running::quick::Quick;
use crate::running::watchdog::Watchdog;
use crate::sending::outgoing::Recipient;
use crate::sending::sender::Sender;

/// What running requests share.
pub(crate) struct Service {
    pub(crate) routes: Arc<Routes>,
    pub(crate) replies: Sender,
    pub(crate) metrics: ReplierMetrics,
    pub(crate) settings: ReplierSettings,
    pub(crate) failures: Arc<Failures>,
    pub(crate) gate: LogGate,
    pub(crate) watchdog: Watchdog,
    /// Large payloads are kept in a store.
    pub(crate) large: Option<LargePayloads>,
    /// The lane, for requests that need another place.
    pub(crate) again: OnceLock<lane::Again>,
    pub(crate) quick: Quick,
}

/// A handler that was found and given its request.
pub(crate) struct Begun {
    pub(crate) route: Arc<Route>,
    pub(crate) started: Instant,
    pub(crate) by: Deadline,
    /// How often the handler has run, or runs.
    pub(crate) runs: u32,
}

/// How far a request has come that is to be served.
pub(crate) enum Stage {
    Arrived(Incoming),
    /// In a box, since that is rare.
    Started(Box<Started>),
}

/// A request that is being answered.
pub(crate) struct Started {
    begun: Begun,
    work: Work,
    /// `None` if nobody is to be answered.
    to: Option<Recipient>,
    cancellable: Option<Box<Cancellable>>,
    original: Option<Box<Original>>,
    taken: Taken,
}

pub(crate) type Answer = Result<RawReply, Status>;

/// What a request came to.
pub(crate) enum Outcome {
    Replied(RawReply),
    /// It was tried, or could not be; this is why.
    Failed(Status),
    /// It came too late to be tried.
    Expired(Status),
    /// Nobody waits for an answer any more.
    Cancelled,
    /// Somebody else answers, outside of this replier.
    HandedOver,
}

/// What a handler does with its request. It has not been polled yet.
pub(crate) enum Work {
    /// And what it takes to do it again, if that may be called for.
    Once(BoxFuture<'static, Answer>, Option<Box<Again>>),
    Stream(Items),
    /// Something may go on when it has ended.
    Beyond(Box<Beyond>),
}

impl Stage {
    fn is_to_be_looked_up(&self) -> bool {
        matches!(self, Self::Arrived(incoming) if incoming.taken.is_to_be_looked_up())
    }
}

impl Service {
    /// Answers a request, whatever happens to its handler.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps what it is given twice")]
    pub(crate) fn serve(&self, stage: Stage, slot: Slot) -> impl Future<Output = ()> {
        async move {
            if stage.is_to_be_looked_up() {
                return self.serve_once(stage, slot).await;
            }
            let Some(Started { mut begun, work, to, cancellable, original, taken }) =
                self.started(stage)
            else {
                return;
            };
            let outcome = match work {
                Work::Once(handler, again) => {
                    let mut ended = self.run(&begun, handler).await;
                    if let Some(again) = again.filter(|_| ended.is_failure()) {
                        // In a box, since it is rare and would make every request's future larger.
                        let run = self.run_again(&mut begun, again, ended, cancellable.as_deref());
                        ended = Box::pin(run).await;
                    }
                    drop(slot);
                    conclude(&begun.route, ended, cancellable.as_deref())
                }
                Work::Beyond(work) => {
                    let cancellable = cancellable.as_deref();
                    Box::pin(self.run_beyond(&mut begun, *work, cancellable, slot)).await
                }
                Work::Stream(items) => {
                    let stream = self.stream(begun, items, to, cancellable, original, taken);
                    return Box::pin(stream).await;
                }
            };
            // There is nothing to cancel any more, and that is so before anybody can see the reply.
            drop(cancellable);
            self.dispose(outcome, to, original.as_deref(), begun.runs, taken);
        }
    }

    fn started(&self, stage: Stage) -> Option<Started> {
        match stage {
            Stage::Arrived(incoming) => self.start(incoming, Instant::now()),
            Stage::Started(started) => Some(*started),
        }
    }

    /// Answers a request whose handler is likely to end with its first poll. If it does not, what is
    /// left is to be served; that polls the handler again, and so leaves a waker that wakes it.
    pub(crate) fn serve_at_once(
        &self,
        incoming: Incoming,
        slot: Slot,
        now: Instant,
    ) -> Option<(Stage, Slot)> {
        if incoming.taken.is_to_be_looked_up() {
            return Some((Stage::Arrived(incoming), slot));
        }
        let mut started = self.start(incoming, now)?;
        if let Work::Once(handler, again) = &mut started.work
            && let Some(ended) = self.run_at_once(&started.begun, handler, again.is_some())
        {
            drop(slot);
            let Started { begun, to, cancellable, original, taken, .. } = started;
            let outcome = conclude(&begun.route, ended, cancellable.as_deref());
            // As in `serve`: before anybody can see the reply.
            drop(cancellable);
            self.dispose(outcome, to, original.as_deref(), begun.runs, taken);
            return None;
        }
        Some((Stage::Started(Box::new(started)), slot))
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
            correlation_id: context.facts.correlation_id.clone(),
            key: context.facts.key.clone(),
            deadline: context.facts.deadline.unwrap_or_else(max),
        })
    }

    /// `None` if there is no handler to run, and the request is disposed of. It moves into the
    /// handler's own future here, so that the one above stays small.
    fn start(&self, incoming: Incoming, now: Instant) -> Option<Started> {
        let Incoming { mut context, mut cancellable, mut taken } = incoming;
        if !taken.start() {
            // The next owner of the partition reads it again.
            return None;
        }
        if cancellable.as_mut().is_some_and(|request| !request.begin()) {
            taken.complete();
            return None;
        }
        let job = std::mem::take(&mut context.facts.job);
        let Job { request, reply_to, fault, original, .. } = job;
        let to = self.recipient(reply_to, &context);
        let begun = match fault {
            Some(status) => Err(Outcome::Failed(*status)),
            None => self.begin(request, context, to.as_ref(), now),
        };
        match begun {
            Ok((begun, work)) => Some(Started { begun, work, to, cancellable, original, taken }),
            Err(outcome) => {
                self.dispose(outcome, to, original.as_deref(), 0, taken);
                None
            }
        }
    }

    pub(crate) fn begin(
        &self,
        request: RawRequest,
        mut context: Context,
        to: Option<&Recipient>,
        started: Instant,
    ) -> Result<(Begun, Work), Outcome> {
        if context.facts.deadline.is_some_and(|deadline| deadline.has_passed_at(started)) {
            self.metrics.expired.inc();
            let why = "the deadline had passed before the request was handled";
            return Err(Outcome::Expired(Status::new(Code::DeadlineExceeded, why)));
        }
        let Some(route) = self.routes.find(context.topic(), request.endpoint.as_deref()) else {
            self.metrics.rejected("endpoint").inc();
            return Err(Outcome::Failed(no_handler(&request, &context)));
        };
        let by = self.limit(context.facts.deadline, started);
        let further = self.further(route, &mut context, to);
        // What a handler does before its first await may be done right here.
        let _entered = self.watchdog.enter(route.number);
        let (by, work) = match &route.answering {
            Answering::Once(handler) => {
                let again = self.failures.policy.repeats().then(|| {
                    Box::new(Again { request: request.clone(), context: context.clone() })
                });
                let handler = self.call(handler, request, context, by);
                let work = match further {
                    None => Work::Once(handler, again),
                    Some(further) => Work::Beyond(Box::new(Beyond { handler, again, further })),
                };
                (by, work)
            }
            // A stream may well take longer than one reply, for as long as its caller waits.
            Answering::Stream(handler) => {
                let by = context.facts.deadline.unwrap_or(by);
                (by, Work::Stream(self.call_stream(handler, request, context, by)))
            }
        };
        Ok((Begun { route: Arc::clone(route), started, by, runs: 1 }, work))
    }

    /// What is answered for a handler that panicked.
    pub(crate) fn panicked(&self) -> Status {
        if let Some(held_back) = self.gate.pass() {
            tracing::error!(held_back, "a handler panicked; its caller gets INTERNAL");
        }
        Status::internal("the handler panicked")
    }
}

/// Counts a request by how the last run of its handler ended.
pub(crate) fn conclude(route: &Route, ended: Ended, cancellable: Option<&Cancellable>) -> Outcome {
    let cancelled = cancellable.is_some_and(Cancellable::is_cancelled);
    let outcome = match ended {
        Ended::Panicked(status) => {
            route.metrics.panicked.inc();
            Outcome::Failed(status)
        }
        _ if cancelled => {
            route.metrics.cancelled.inc();
            return Outcome::Cancelled;
        }
        Ended::Answered(reply) => {
            route.metrics.ok.inc();
            Outcome::Replied(reply)
        }
        Ended::Failed(status) => {
            route.metrics.error.inc();
            Outcome::Failed(status)
        }
        Ended::TooLate(status) => {
            route.metrics.timed_out.inc();
            Outcome::Failed(status)
        }
    };
    if cancelled { Outcome::Cancelled } else { outcome }
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
pub(crate) mod tests {
    use super::*;
    use crate::handlers::context::Facts;
    use crate::handlers::router::Router;
    use crate::intake::outstanding::Outstanding;
    use crate::intake::tracker::Tracker;
    use crate::sending::replies::Replies;
    use antiphon_common::config::KafkaSettings;
    use antiphon_common::inherited;
    use antiphon_common::kafka::Observer;
    use std::sync::Mutex;
    use std::time::Duration;

    /// What a handler saw of the deadline that its calls inherit.
    type Seen = Arc<Mutex<Vec<Option<Deadline>>>>;

    fn service(router: Router) -> Service {
        service_with(router, ReplierSettings::default())
    }

    /// A service whose replies go nowhere.
    pub(crate) fn service_with(router: Router, settings: ReplierSettings) -> Service {
        let metrics = ReplierMetrics::new();
        let kafka = KafkaSettings::new("127.0.0.1:1");
        let replies =
            Replies::start(&kafka, Observer::default(), metrics.clone(), 1_000, false, None);
        let failures = Failures::new(&router.topics(), &settings).expect("no conflict");
        let routes = router.into_routes(&metrics);
        Service {
            quick: Quick::new(routes.priorities().len()),
            routes: Arc::new(routes),
            replies: Sender::Plain(replies.expect("the settings are valid")),
            metrics,
            settings,
            failures: Arc::new(failures),
            gate: LogGate::default(),
            large: None,
            watchdog: Watchdog::start(Duration::ZERO, &[], ReplierMetrics::new()).expect("off"),
            again: OnceLock::new(),
        }
    }

    pub(crate) fn context(deadline: Option<Deadline>) -> Context {
        Facts { deadline, ..Facts::for_tests() }.into()
    }

    pub(crate) fn request() -> RawRequest {
        RawRequest::for_tests("")
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

    /// What a request comes to, and how often its handler ran.
    pub(crate) async fn outcome(service: &Service, context: Context) -> (Outcome, Begun) {
        let (mut begun, work) =
            service.begin(request(), context, None, Instant::now()).ok().expect("a handler");
        let Work::Once(handler, again) = work else { panic!("no stream") };
        let mut ended = service.run(&begun, handler).await;
        if let Some(again) = again {
            ended = service.run_again(&mut begun, again, ended, None).await;
        }
        (conclude(&begun.route, ended, None), begun)
    }

    #[tokio::test]
    async fn calls_of_a_handler_inherit_its_deadline_and_at_most_its_time_limit() {
        let soon = Deadline::after(Duration::from_secs(5));
        let late = Deadline::after(Duration::from_secs(3600));
        for (given, expected) in [(Some(soon), Some(soon)), (Some(late), None), (None, None)] {
            let seen = Seen::default();
            let service = service(notes(&seen));
            let (outcome, begun) = outcome(&service, context(given)).await;
            let cap = Deadline::at(begun.started + service.settings.handler_timeout());
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
        let reply_to = crate::intake::incoming::ReplyTo {
            topic: "t.replies".into(),
            place: crate::intake::incoming::ReplyPlace::Any,
            protection: None,
        };
        let job = Job { reply_to: Some(reply_to), ..Job::default() };
        let incoming = Incoming {
            context: Facts { job, ..Facts::for_tests() }.into(),
            cancellable: Some(Box::new(cancellable)),
            taken: tracker.take(0).expect("new"),
        };
        service.serve(Stage::Arrived(incoming), Slot::free()).await;
        assert!(seen.lock().expect("not poisoned").is_empty());
        assert_eq!(tracker.committable().map(|commit| commit.next), Some(1));
    }

    /// There are as many of these as requests that run, so their size counts.
    #[test]
    fn the_future_of_a_request_is_small() {
        fn size<'a, F: Future>(_: impl FnOnce(&'a Service, Stage, Slot) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(Service::serve);
        assert!(size <= 700, "{size} bytes");
    }
}
