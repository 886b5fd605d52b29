//! Requests that go on when the futures of their handlers have ended: functions that block may run
//! on, and deferred answers come later.

use std::sync::Arc;

use antiphon_common::service::Kind;
use antiphon_common::{Code, Deadline, Status};
use futures::future::BoxFuture;

use crate::handlers::blocking::Held;
use crate::handlers::context::{Context, RawReply};
use crate::handlers::deferred::{Deferral, Ending};
use crate::handlers::routes::Route;
use crate::intake::cancellations::Cancellable;
use crate::lane::Slot;
use crate::running::attempts::{Again, Ended};
use crate::running::serve::{Answer, Begun, Outcome, Service, conclude};
use crate::sending::outgoing::Recipient;

/// A handler, and what may go on when its future has ended.
pub(crate) struct Beyond {
    pub(crate) handler: BoxFuture<'static, Answer>,
    /// What it takes to do it again, if that may be called for.
    pub(crate) again: Option<Box<Again>>,
    pub(crate) further: Further,
}

/// What may go on when the handler's future has ended.
pub(crate) enum Further {
    /// The function, which blocks.
    Blocking(Arc<Held>),
    /// The wait for the answer.
    Deferred(Arc<Deferral>),
}

impl Service {
    /// Prepares for what may go on.
    pub(crate) fn further(
        &self,
        route: &Route,
        context: &mut Context,
        to: Option<&Recipient>,
    ) -> Option<Further> {
        match (route.kind, to) {
            (Kind::Blocking, _) => {
                let (pool, running) = (self.routes.pool.clone(), self.metrics.running.clone());
                let held = Held::new(pool, self.settings.blocking_threads, running);
                context.facts.extensions.insert_shared(Arc::clone(&held));
                Some(Further::Blocking(held))
            }
            (Kind::Deferred, Some(to)) => {
                let deferral = Deferral::new(to.clone());
                context.facts.extensions.insert_shared(Arc::clone(&deferral));
                Some(Further::Deferred(deferral))
            }
            _ => None,
        }
    }

    /// Runs a handler to its end and beyond.
    pub(crate) async fn run_beyond(
        &self,
        begun: &mut Begun,
        beyond: Beyond,
        cancellable: Option<&Cancellable>,
        slot: Slot,
    ) -> Outcome {
        let Beyond { handler, again, further } = beyond;
        let (slot, deferral) = match further {
            Further::Blocking(held) => {
                // Kept until the function has ended, which nothing can stop.
                held.keep(slot);
                (None, None)
            }
            Further::Deferred(deferral) => (Some(slot), Some(deferral)),
        };
        let mut ended = self.run(begun, handler).await;
        if let Some(again) = again.filter(|_| ended.is_failure()) {
            ended = self.run_again(begun, again, ended, cancellable).await;
        }
        drop(slot);
        match (ended, deferral) {
            (Ended::Answered(reply), Some(deferral)) => {
                self.later(&begun.route, &deferral, reply, cancellable).await
            }
            (ended, _) => conclude(&begun.route, ended, cancellable),
        }
    }

    /// Waits for the answer, for as long as the caller does.
    ///
    /// `unless` is the answer if no handle was made: a layer has answered in the handler's place.
    async fn later(
        &self,
        route: &Route,
        deferral: &Deferral,
        unless: RawReply,
        cancellable: Option<&Cancellable>,
    ) -> Outcome {
        let by = deferral.deadline();
        let Some(answer) = deferral.take() else {
            route.metrics.ok.inc();
            return Outcome::Replied(unless);
        };
        self.metrics.deferred.inc();
        let cancelled = async {
            match cancellable {
                Some(request) => request.token().cancelled().await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            () = cancelled => {
                route.metrics.cancelled.inc();
                Outcome::Cancelled
            }
            ended = within(by, answer) => match ended {
                Some(Ok(Ending::Answered(Ok(reply)))) => match self.kept(reply, by).await {
                    Ok(reply) => {
                        route.metrics.ok.inc();
                        Outcome::Replied(reply)
                    }
                    Err(status) => {
                        route.metrics.error.inc();
                        Outcome::Failed(status)
                    }
                },
                Some(Ok(Ending::HandedOver)) => {
                    route.metrics.ok.inc();
                    Outcome::HandedOver
                }
                Some(Ok(Ending::Answered(Err(status)))) => {
                    route.metrics.error.inc();
                    Outcome::Failed(status)
                }
                Some(Err(_)) => {
                    route.metrics.error.inc();
                    Outcome::Failed(Status::internal("the handle on the request was dropped unanswered"))
                }
                None => {
                    route.metrics.timed_out.inc();
                    let why = "the request was not answered in time";
                    Outcome::Failed(Status::new(Code::DeadlineExceeded, why))
                }
            },
        };
        self.metrics.deferred.dec();
        outcome
    }
}

/// The output of a future, if it is there by the deadline.
async fn within<F: Future>(by: Deadline, future: F) -> Option<F::Output> {
    tokio::time::timeout_at(by.instant().into(), future).await.ok()
}
