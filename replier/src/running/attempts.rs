//! Handlers that fail run again, inside their caller's deadline.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{self, Poll, Waker};
use std::time::{Duration, Instant};

use antiphon_common::backoff::random;
use antiphon_common::inherited::{within, within_blocking};
use antiphon_common::{Code, Deadline, Status};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use crate::handlers::context::{Context, RawReply, RawRequest};
use crate::handlers::routes::Answering;
use crate::intake::cancellations::Cancellable;
use crate::running::quick::Quick;
use crate::running::serve::{Answer, Begun, Service};

/// What a handler needs to run again. Kept only where it may.
pub(crate) struct Again {
    pub(crate) request: RawRequest,
    pub(crate) context: Context,
}

/// How one run of a handler ended.
pub(crate) enum Ended {
    Answered(RawReply),
    Failed(Status),
    Panicked(Status),
    TooLate(Status),
}

impl Ended {
    pub(crate) fn is_failure(&self) -> bool {
        self.code().is_some()
    }

    /// The code of the failure, if it is one.
    fn code(&self) -> Option<Code> {
        match self {
            Self::Answered(_) => None,
            Self::Failed(status) | Self::Panicked(status) | Self::TooLate(status) => {
                Some(status.code())
            }
        }
    }
}

impl Begun {
    /// Counts how long a run of its handler took that has just ended.
    fn observe(&self, quick: &Quick) {
        let took = self.started.elapsed();
        self.route.metrics.seconds.observe(took.as_secs_f64());
        quick.handled(self.route.number, took);
    }
}

impl Service {
    /// Runs a handler once, to its end. No `async fn`, whose future would be larger.
    pub(crate) fn run(
        &self,
        begun: &Begun,
        handler: BoxFuture<'static, Answer>,
    ) -> impl Future<Output = Ended> {
        let by = begun.by;
        self.metrics.running.inc();
        let handler = self.watchdog.watch(begun.route.number, handler);
        let handler = within(by, AssertUnwindSafe(handler).catch_unwind());
        tokio::time::timeout_at(by.instant().into(), handler).map(move |ended| {
            self.metrics.running.dec();
            begun.observe(&self.quick);
            match ended {
                Ok(Ok(Ok(reply))) => Ended::Answered(reply),
                Ok(Ok(Err(status))) => Ended::Failed(status),
                Ok(Err(_)) => Ended::Panicked(self.panicked()),
                Err(_) => {
                    let why = "the handler did not end in time";
                    Ended::TooLate(Status::new(Code::DeadlineExceeded, why))
                }
            }
        })
    }

    /// Polls a handler once, which has not been polled before and whose deadline has just been looked
    /// at. `None` if there is more to do: it has not ended, or has failed and is to run `again`.
    pub(crate) fn run_at_once(
        &self,
        begun: &Begun,
        handler: &mut BoxFuture<'static, Answer>,
        again: bool,
    ) -> Option<Ended> {
        let nobody = &mut task::Context::from_waker(Waker::noop());
        self.metrics.running.inc();
        let polled = {
            let _entered = self.watchdog.enter(begun.route.number);
            let poll = AssertUnwindSafe(|| handler.poll_unpin(nobody));
            within_blocking(begun.by, || catch_unwind(poll))
        };
        self.metrics.running.dec();
        // What has ended must not be polled again: whoever goes on with it is told how it did.
        let ended = match polled {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(answer)) if again && answer.is_err() => {
                *handler = Box::pin(ready(answer));
                return None;
            }
            Err(panic) if again => {
                *handler = Box::pin(async { resume_unwind(panic) });
                return None;
            }
            Ok(Poll::Ready(Ok(reply))) => Ended::Answered(reply),
            Ok(Poll::Ready(Err(status))) => Ended::Failed(status),
            Err(_) => Ended::Panicked(self.panicked()),
        };
        begun.observe(&self.quick);
        Some(ended)
    }

    /// Runs a handler that has failed again, for as long as its failure may pass and there is time.
    ///
    /// Its place among the handlers that run is kept while it waits: what comes after it in its
    /// lane must not overtake it.
    pub(crate) async fn run_again(
        &self,
        begun: &mut Begun,
        again: Box<Again>,
        first: Ended,
        cancellable: Option<&Cancellable>,
    ) -> Ended {
        let Again { request, mut context } = *again;
        let mut ended = first;
        while let Some(code) = ended.code() {
            let left = context.facts.deadline.map_or(Duration::MAX, Deadline::remaining);
            let policy = &self.failures.policy;
            let Some(wait) = policy.again(code, begun.runs, left, random()) else { break };
            if !waited(wait, cancellable).await {
                break;
            }
            // The wait may have taken longer than it was meant to.
            let now = Instant::now();
            if context.facts.deadline.is_some_and(|deadline| deadline.instant() <= now) {
                break;
            }
            let by = self.limit(context.facts.deadline, now);
            begun.by = by;
            let Answering::Once(handler) = &begun.route.answering else { break };
            context.facts.runs = context.facts.runs.saturating_add(1);
            let handler = {
                let _entered = self.watchdog.enter(begun.route.number);
                self.call(handler, request.clone(), context.clone(), by)
            };
            begun.runs += 1;
            begun.started = now;
            self.metrics.retries("run").inc();
            ended = self.run(begun, handler).await;
        }
        ended
    }

    /// When a handler has to end that starts now.
    pub(crate) fn limit(&self, deadline: Option<Deadline>, now: Instant) -> Deadline {
        let cap = Deadline::at(now + self.settings.handler_timeout());
        deadline.map_or(cap, |deadline| deadline.earlier(cap))
    }
}

/// Waits; `false` if the request is cancelled meanwhile.
async fn waited(wait: Duration, cancellable: Option<&Cancellable>) -> bool {
    let Some(request) = cancellable else {
        tokio::time::sleep(wait).await;
        return true;
    };
    tokio::select! {
        biased;
        () = request.token().cancelled() => false,
        () = tokio::time::sleep(wait) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::context::Facts;
    use crate::handlers::router::Router;
    use crate::running::serve::tests::{context, outcome, service_with};
    use crate::running::serve::{Outcome, Work};
    use antiphon_common::config::{ReplierSettings, RetrySettings};
    use std::sync::{Arc, Mutex};

    /// What each run saw: its number, and the deadline that its calls inherit.
    type Seen = Arc<Mutex<Vec<(u32, Option<Deadline>)>>>;

    fn settings(attempts: u32, handler_timeout_ms: u64) -> ReplierSettings {
        let codes = ["UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"].map(String::from).to_vec();
        let retry =
            RetrySettings { attempts, codes, initial_ms: 1, max_ms: 2, ..Default::default() };
        ReplierSettings { retry, handler_timeout_ms, ..Default::default() }
    }

    /// Fails, panics, hangs, and then answers.
    fn moody(seen: &Seen) -> Router {
        let seen = Arc::clone(seen);
        Router::new().handle_any("t", move |_, context: Context| {
            let run = (context.runs(), antiphon_common::inherited::deadline());
            seen.lock().expect("not poisoned").push(run);
            async move {
                match context.runs() {
                    1 => Err(Status::new(Code::Unavailable, "not yet")),
                    2 => panic!("on purpose"),
                    3 => std::future::pending().await,
                    _ => Ok(RawReply::new("at last")),
                }
            }
        })
    }

    #[tokio::test]
    async fn each_run_has_its_number_and_a_time_limit_of_its_own() {
        let seen = Seen::default();
        let service = service_with(moody(&seen), settings(4, 30));
        let (outcome, begun) = outcome(&service, context(None)).await;
        assert!(matches!(outcome, Outcome::Replied(reply) if reply.payload == "at last"));
        let seen = seen.lock().expect("not poisoned");
        assert_eq!(seen.iter().map(|(run, _)| *run).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(seen.is_sorted_by(|(_, one), (_, other)| one < other), "{seen:?}");
        assert_eq!((begun.runs, service.metrics.retries("run").get()), (4, 3));
        let handler = service.metrics.handler("*");
        let counted = [&handler.ok, &handler.error, &handler.panicked, &handler.timed_out];
        assert_eq!(counted.map(|counter| counter.get()), [1, 0, 0, 0], "one request, one end");
    }

    #[tokio::test]
    async fn the_last_failure_is_the_answer() {
        let seen = Seen::default();
        let service = service_with(moody(&seen), settings(2, 10_000));
        let (outcome, begun) = outcome(&service, context(None)).await;
        assert!(matches!(outcome, Outcome::Failed(status) if status.code() == Code::Internal));
        assert_eq!((begun.runs, service.metrics.handler("*").panicked.get()), (2, 1));
    }

    /// A handler that is polled by the lane first: what does not end with that goes on as if it had not
    /// been, and counts once.
    #[tokio::test]
    async fn a_first_poll_counts_as_the_run_that_it_begins() {
        let waits = Router::new().handle_any("t", |_, _: Context| async {
            tokio::task::yield_now().await;
            Ok::<_, Status>(RawReply::new("later"))
        });
        let seen = Seen::default();
        // By how often the handler has run before: it fails, panics, hangs, and then answers.
        for (router, runs, again, at_once, then) in [
            (waits, 1, false, "", "Answered"),
            (moody(&seen), 1, true, "", "Failed"),
            (moody(&seen), 1, false, "Failed", ""),
            (moody(&seen), 2, true, "", "Panicked"),
            (moody(&seen), 2, false, "Panicked", ""),
            (moody(&seen), 3, false, "", "TooLate"),
            (moody(&seen), 4, true, "Answered", ""),
        ] {
            let service = service_with(router, settings(4, 30));
            let context = Facts { runs, ..Facts::for_tests() }.into();
            let begun = service.begin(RawRequest::for_tests(""), context, None, Instant::now());
            let (begun, work) = begun.ok().expect("a handler");
            let Work::Once(mut handler, _) = work else { panic!("no stream") };
            let first = service.run_at_once(&begun, &mut handler, again);
            assert_eq!(first.as_ref().map_or("", name), at_once);
            if first.is_none() {
                assert_eq!(name(&service.run(&begun, handler).await), then);
            }
            assert_eq!(begun.route.metrics.seconds.get_sample_count(), 1);
            assert_eq!(service.metrics.running.get(), 0);
        }
        let seen = seen.lock().expect("not poisoned");
        assert!(seen.len() == 6 && seen.iter().all(|(_, deadline)| deadline.is_some()), "{seen:?}");
    }

    fn name(ended: &Ended) -> &'static str {
        match ended {
            Ended::Answered(_) => "Answered",
            Ended::Failed(_) => "Failed",
            Ended::Panicked(_) => "Panicked",
            Ended::TooLate(_) => "TooLate",
        }
    }

    #[tokio::test]
    async fn no_run_starts_past_the_deadline() {
        let starts = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&starts);
        let router = Router::new().handle_any("t", move |_, _: Context| {
            noted.lock().expect("not poisoned").push(Instant::now());
            async { Err::<RawReply, _>(Status::new(Code::Unavailable, "never")) }
        });
        let mut settings = settings(100, 10_000);
        (settings.retry.initial_ms, settings.retry.max_ms) = (400, 400);
        let service = service_with(router, settings);
        let deadline = Deadline::after(Duration::from_secs(1));
        let (outcome, begun) = outcome(&service, context(Some(deadline))).await;
        assert!(matches!(outcome, Outcome::Failed(status) if status.code() == Code::Unavailable));
        let starts = starts.lock().expect("not poisoned");
        assert_eq!(starts.len(), begun.runs as usize);
        // The attempts would have lasted for about twenty seconds.
        assert!(begun.runs < 100 && starts.iter().all(|start| *start < deadline.instant()));
    }
}
