//! One request from the lane to its reply: deadline, route, handler, answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use antiphon_common::config::ReplierSettings;
use antiphon_common::kafka::LogGate;
use antiphon_common::metrics::ReplierMetrics;
use antiphon_common::{Code, Deadline, Status};
use futures::FutureExt;

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

impl Service {
    /// Answers a request, whatever happens to its handler.
    pub(crate) async fn serve(&self, incoming: Incoming) {
        let Incoming { request, context, reply_to, fault, taken } = incoming;
        let (correlation_id, key) = (context.correlation_id.clone(), context.key.clone());
        let deadline = context.deadline;
        let answer = match fault {
            Some(status) => Err(status),
            None => self.answer(request, context).await,
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

    async fn answer(&self, request: RawRequest, context: Context) -> Result<RawReply, Status> {
        if context.deadline.is_some_and(Deadline::has_passed) {
            self.metrics.expired.inc();
            let why = "the deadline had passed before the request was handled";
            return Err(Status::new(Code::DeadlineExceeded, why));
        }
        let Some(route) = self.routes.find(context.topic(), request.endpoint.as_deref()) else {
            self.metrics.rejected("endpoint").inc();
            return Err(no_handler(&request, &context));
        };
        self.metrics.running.inc();
        let answer = self.run(route, request, context).await;
        self.metrics.running.dec();
        answer
    }

    async fn run(
        &self,
        route: &Route,
        request: RawRequest,
        context: Context,
    ) -> Result<RawReply, Status> {
        let started = Instant::now();
        let cap = Deadline::at(started + self.settings.handler_timeout());
        let by = context.deadline.map_or(cap, |deadline| deadline.earlier(cap));
        // In an async block, so that a panic before the first await is caught too.
        let handler = AssertUnwindSafe(async { (route.handler)(request, context).await });
        let ended = tokio::time::timeout_at(by.instant().into(), handler.catch_unwind()).await;
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
            Ok(Err(_)) => {
                route.metrics.panicked.inc();
                if let Some(held_back) = self.gate.pass() {
                    tracing::error!(held_back, "a handler panicked; its caller gets INTERNAL");
                }
                Err(Status::internal("the handler panicked"))
            }
            Err(_) => {
                route.metrics.timed_out.inc();
                Err(Status::new(Code::DeadlineExceeded, "the handler did not end in time"))
            }
        }
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
