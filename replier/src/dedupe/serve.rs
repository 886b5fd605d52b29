//! The way of a request through the window: it runs, waits for one like it, or is answered at once.

use std::sync::Arc;

use antiphon_common::{Code, Deadline, Status};
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::dedupe::identity::Identity;
use crate::dedupe::kept;
use crate::dedupe::partition::{Asked, Ending, First, Handled, Turn};
use crate::dedupe::window::Kept;
use crate::handlers::context::RawReply;
use crate::handlers::routes::Answering;
use crate::intake::incoming::Incoming;
use crate::intake::tracker::Taken;
use crate::lane::Slot;
use crate::running::serve::{Outcome, Service, Stage};
use crate::sending::duty::Duty;
use crate::sending::outgoing::{Forward, Outgoing, Reply};

/// How much larger than the largest payload of a reply the bytes may be that are kept of it.
const HEADER_ROOM: usize = 8 * 1024;

impl Service {
    /// Looks the request up in the window of its partition, and goes on from there. In a box: when
    /// there are no windows, requests do not pay for this in memory.
    pub(crate) fn serve_once(&self, stage: Stage, slot: Slot) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Stage::Arrived(mut incoming) = stage else {
                return self.serve(stage, slot).await;
            };
            incoming.taken.looked_up();
            let Some(handled) = self.window_of(&incoming) else {
                return self.serve(Stage::Arrived(incoming), slot).await;
            };
            // The place is held meanwhile, so that the order of a lane is kept.
            if !handled.ready().await {
                return;
            }
            let context = &incoming.context;
            let reply_topic = context.job().reply_to.as_ref().map(|to| &*to.topic);
            let endpoint = context.job().request.endpoint.as_deref();
            let group = &self.settings.group;
            match handled.ask(Identity::of(context, group, endpoint, reply_topic)) {
                Asked::Run(first) => self.run_first(first, incoming, slot).await,
                Asked::Ended(kept) => {
                    drop(slot);
                    let found = if kept == Kept::Claim { "claim" } else { "reply" };
                    self.metrics.duplicates(found).inc();
                    self.answer_again(incoming, kept);
                }
                Asked::Wait(turn) => {
                    drop(slot);
                    self.metrics.duplicates("running").inc();
                    self.wait_for_first(turn, incoming).await;
                }
            }
        })
    }

    /// Notes what a request came to. Returns the record that must be written before its reply.
    pub(crate) fn keep(&self, taken: &mut Taken, outcome: &Outcome) -> Option<Forward> {
        // Most requests are not looked up, and nothing is to be kept of them.
        let first = taken.first_mut()?;
        let ending = match outcome {
            Outcome::Replied(reply) => self.answered(Ok(reply)),
            Outcome::Failed(status) => self.failed(status),
            Outcome::Expired(_) => Ending::Undone,
            Outcome::Cancelled | Outcome::HandedOver => Ending::InDoubt,
        };
        first.end(ending)
    }

    fn failed(&self, status: &Status) -> Ending {
        let code = status.code();
        match code {
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted => Ending::Undone,
            _ if self.settings.retry.codes.iter().any(|name| name == code.name()) => Ending::Undone,
            Code::DeadlineExceeded | Code::Internal | Code::Unknown | Code::Cancelled => {
                Ending::InDoubt
            }
            _ => self.answered(Err(status)),
        }
    }

    fn answered(&self, answer: Result<&RawReply, &Status>) -> Ending {
        let max = self.settings.max_reply_bytes;
        let fits = answer.map_or(true, |reply| reply.payload.len() <= max);
        let encoded = Some(answer).filter(|_| fits).and_then(kept::encode);
        let encoded = encoded.filter(|bytes| bytes.len() <= max.saturating_add(HEADER_ROOM));
        Ending::Answered(encoded.map_or(Kept::Claim, Kept::Reply))
    }

    /// The window, if the request is one that is looked up. Streams are not, nor is what no handler
    /// of the application sees. One-way requests may come without any id; those cannot be told from
    /// each other, and must not be taken for one.
    fn window_of(&self, incoming: &Incoming) -> Option<Arc<Handled>> {
        let handled = incoming.taken.window()?;
        let job = incoming.context.job();
        let endpoint = job.request.endpoint.as_deref();
        let route = self.routes.find(incoming.context.topic(), endpoint)?;
        let once = matches!(route.answering, Answering::Once(_));
        let context = &incoming.context;
        let has_id =
            context.facts.idempotency_key.is_some() || !context.facts.correlation_id.is_empty();
        let is_handled = job.fault.is_none() && !self.routes.is_builtin(route);
        (once && has_id && is_handled).then(|| Arc::clone(handled))
    }

    async fn run_first(&self, mut first: First, mut incoming: Incoming, slot: Slot) {
        let late = incoming.context.facts.deadline.is_some_and(Deadline::has_passed);
        // What is not going to run must not be claimed.
        if !incoming.taken.start() {
            return;
        }
        let claim = if late { None } else { first.claim() };
        incoming.taken.run_as(first);
        if let Some(claim) = claim {
            let (tell, told) = oneshot::channel();
            let duty = Duty::told(incoming.taken, tell);
            self.replies.send(Outgoing::new(vec![claim], None, duty));
            // It is sent until it is acknowledged; when this replier ends first, nobody tells.
            let Ok(taken) = told.await else { return };
            incoming.taken = taken;
        }
        self.serve(Stage::Arrived(incoming), slot).await;
    }

    async fn wait_for_first(&self, turn: oneshot::Receiver<Turn>, mut incoming: Incoming) {
        let token = incoming.cancellable.as_ref().map(|request| request.token().clone());
        let token = token.unwrap_or_default();
        let max = || Deadline::after(self.settings.max_deadline());
        let by = incoming.context.facts.deadline.unwrap_or_else(max).instant();
        let turn = tokio::select! {
            biased;
            () = token.cancelled() => return incoming.taken.complete(),
            turn = tokio::time::timeout_at(by.into(), turn) => turn,
        };
        match turn {
            Ok(Ok(Turn::Ended(kept))) => self.answer_again(incoming, kept),
            Ok(Ok(Turn::Run(first))) => {
                incoming.taken.run_as(first);
                // It needs a place. Without a lane this replier is ending, and it is left to others.
                if let Some(lane) = self.again.get() {
                    lane.send(vec![incoming]);
                }
            }
            // The window has gone with its partition.
            Ok(Err(_)) => {}
            Err(_) => {
                self.metrics.expired.inc();
                let why = "another request like this one was still being handled";
                let late = Outcome::Expired(Status::new(Code::DeadlineExceeded, why));
                let Incoming { mut context, taken, .. } = incoming;
                let to = self.recipient(context.facts.job.reply_to.take(), &context);
                self.dispose(late, to, None, 0, taken);
            }
        }
    }

    /// Sends what is kept to whoever asked this time.
    fn answer_again(&self, incoming: Incoming, kept: Kept) {
        let Incoming { mut context, mut taken, .. } = incoming;
        if !taken.start() {
            // The next owner of the partition reads it again.
            return;
        }
        let reply_to = context.facts.job.reply_to.take();
        let Some(to) = self.recipient(reply_to, &context) else { return taken.complete() };
        let answer = match kept {
            Kept::Reply(reply) => kept::decode(reply),
            Kept::Claim => None,
        };
        let answer = answer.unwrap_or_else(|| {
            let why = "this request may have been executed before; its reply is not known";
            Err(Status::new(Code::Aborted, why))
        });
        let reply = Reply { to, answer, position: None };
        self.replies.send(Outgoing::new(Vec::new(), Some(reply), Duty::Whole(taken)));
    }
}
