//! One request from the lane to its reply: deadline, route, handler, answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use antiphon_common::config::ReplierSettings;
use antiphon_common::kafka::LogGate;
use antiphon_common::metrics::ReplierMetrics;
use antiphon_common::{Code, Deadline, Status};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::context::{Context, RawReply, RawRequest};
use crate::incoming::Incoming;
use crate::outgoing::Outgoing;
use crate::replies::Replies;
use crate::router::{Route, Routes};

/// What running requests share.
pub(crate) struct Service {
    pub(crate) routes: Routes,
    pub(crate) replies: Arc<Replies>,
    pub(crate) metrics: ReplierMetrics,
    pub(crate) settings: ReplierSettings,
    pub(crate) gate: LogGate,
}

/// A handler that was found and given its request. It has not been polled yet.
struct Begun {
    route: Arc<Route>,
    handler: BoxFuture<'static, Result<RawReply, Status>>,
    started: Instant,
    by: Deadline,
}

impl Service {
    /// Answers a request, whatever happens to its handler.
    pub(crate) async fn serve(&self, incoming: Box<Incoming>) {
        let Incoming { request, context, reply_to, fault, taken } = *incoming;
        let (correlation_id, key) = (context.correlation_id.clone(), context.key.clone());
        let deadline = context.deadline;
        // The request moves into the handler's own future here, so that this one stays small.
        let begun = match fault {
            Some(status) => Err(status),
            None => self.begin(request, context),
        };
        let answer = match begun {
            Ok(begun) => self.finish(begun).await,
            Err(status) => Err(status),
        };
        self.replies.send(Outgoing {
            reply_to,
            correlation_id,
            key,
            answer,
            deadline: deadline.unwrap_or_else(|| Deadline::after(self.settings.max_deadline())),
            taken,
        });
    }

    fn begin(&self, request: RawRequest, context: Context) -> Result<Begun, Status> {
        let started = Instant::now();
        if context.deadline.is_some_and(|deadline| deadline.instant() <= started) {
            self.metrics.expired.inc();
            let why = "the deadline had passed before the request was handled";
            return Err(Status::new(Code::DeadlineExceeded, why));
        }
        let Some(route) = self.routes.find(context.topic(), request.endpoint.as_deref()) else {
            self.metrics.rejected("endpoint").inc();
            return Err(no_handler(&request, &context));
        };
        let cap = Deadline::at(started + self.settings.handler_timeout());
        let by = context.deadline.map_or(cap, |deadline| deadline.earlier(cap));
        // A handler of bytes may be a plain function that runs, and panics, before its future.
        let handler = catch_unwind(AssertUnwindSafe(|| (route.handler)(request, context)))
            .map_err(|_| self.panicked(route))?;
        Ok(Begun { route: Arc::clone(route), handler, started, by })
    }

    async fn finish(&self, begun: Begun) -> Result<RawReply, Status> {
        let Begun { route, handler, started, by } = begun;
        self.metrics.running.inc();
        let handler = AssertUnwindSafe(handler).catch_unwind();
        let ended = tokio::time::timeout_at(by.instant().into(), handler).await;
        self.metrics.running.dec();
        route.metrics.seconds.observe(started.elapsed().as_secs_f64());
        match ended {
            Ok(Ok(Ok(reply))) => {
                route.metrics.ok.inc();
                Ok(reply)
            }
            Ok(Ok(Err(status))) => {
                route.metrics.error.inc();
                Err(status)
            }
            Ok(Err(_)) => Err(self.panicked(&route)),
            Err(_) => {
                route.metrics.timed_out.inc();
                Err(Status::new(Code::DeadlineExceeded, "the handler did not end in time"))
            }
        }
    }

    fn panicked(&self, route: &Route) -> Status {
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
