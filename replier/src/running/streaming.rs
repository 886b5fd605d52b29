//! A stream of replies, item by item, to its end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use antiphon_common::inherited::within;
use antiphon_common::wire::StreamPosition;
use antiphon_common::{Code, Status};
use futures::{FutureExt, StreamExt};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::failures::original::Original;
use crate::handlers::context::RawReply;
use crate::handlers::stream_handler::Items;
use crate::intake::cancellations::Cancellable;
use crate::intake::tracker::Taken;
use crate::running::serve::{Begun, Service};
use crate::running::watchdog::Watched;
use crate::sending::duty::{Duty, Part, Streamed};
use crate::sending::outgoing::{Forward, Outgoing, Recipient, Reply};
use crate::sending::sender::Sender;

/// How a stream ended.
enum Ended {
    Done,
    Failed(Status),
    Panicked,
    TooLate,
    /// Nothing more is to be sent: the request was cancelled, or a reply can never be delivered,
    /// or one has turned into the end itself since it was too large.
    Halted,
}

/// Sends the items of one stream.
struct Sending<'a> {
    replies: &'a Sender,
    /// `None` if nobody takes the items.
    to: Option<Recipient>,
    stream: Arc<Streamed>,
    /// As many places as items may be unacknowledged.
    window: Arc<Semaphore>,
    /// The number of items so far.
    seq: u64,
}

impl Service {
    /// Sends what a handler's stream yields, and its end. The request is complete when all of that
    /// is acknowledged.
    pub(crate) async fn stream(
        &self,
        begun: Begun,
        items: Items,
        to: Option<Recipient>,
        cancellable: Option<Box<Cancellable>>,
        original: Option<Box<Original>>,
        taken: Taken,
    ) {
        let Begun { route, started, by, .. } = begun;
        let request = cancellable.as_ref().map(|request| request.token());
        let halt = request.map_or_else(CancellationToken::new, CancellationToken::child_token);
        let stream = Streamed::new(taken, halt.clone());
        let last = stream.part(None);
        let window = Arc::new(Semaphore::new(self.settings.stream_window));
        let mut sending = Sending { replies: &self.replies, to, stream, window, seq: 0 };

        let items = self.watchdog.watch(route.number, items);
        self.metrics.running.inc();
        let ended = tokio::select! {
            biased;
            () = halt.cancelled() => Ended::Halted,
            ended = tokio::time::timeout_at(by.instant().into(), within(by, sending.all(items))) => {
                ended.unwrap_or(Ended::TooLate)
            }
        };
        self.metrics.running.dec();
        route.metrics.seconds.observe(started.elapsed().as_secs_f64());
        let cancelled = request.is_some_and(CancellationToken::is_cancelled);
        // There is nothing to cancel any more, and that is so before anybody can see the end.
        drop(cancellable);
        let answer = match ended {
            Ended::Panicked => {
                route.metrics.panicked.inc();
                Err(self.panicked())
            }
            _ if cancelled => {
                route.metrics.cancelled.inc();
                return last.complete();
            }
            Ended::Halted => {
                route.metrics.error.inc();
                return last.complete();
            }
            Ended::Done => {
                route.metrics.ok.inc();
                Ok(RawReply::default())
            }
            Ended::Failed(status) => {
                route.metrics.error.inc();
                Err(status)
            }
            Ended::TooLate => {
                route.metrics.timed_out.inc();
                Err(Status::new(
                    Code::DeadlineExceeded,
                    "the stream of replies did not end in time",
                ))
            }
        };
        let failed = answer.as_ref().err();
        let kept = failed.and_then(|status| self.dead_letter(original.as_deref(), status));
        sending.end(answer, kept, last);
    }
}

impl Sending<'_> {
    /// Sends items for as long as there are any, each when the window has a place for it.
    async fn all(&mut self, mut items: Watched<'_, Items>) -> Ended {
        loop {
            let place = Arc::clone(&self.window).acquire_owned().await;
            // A place also gets free when a reply turns out to be undeliverable.
            if self.stream.is_halted() {
                return Ended::Halted;
            }
            let item = match AssertUnwindSafe(items.next()).catch_unwind().await {
                Ok(Some(Ok(item))) => item,
                Ok(Some(Err(status))) => return Ended::Failed(status),
                Ok(None) => return Ended::Done,
                Err(_) => return Ended::Panicked,
            };
            let duty = Duty::Part(self.stream.part(place.ok()));
            self.send(None, Ok(item), false, duty);
            self.seq += 1;
        }
    }

    fn end(&self, answer: Result<RawReply, Status>, kept: Option<Forward>, last: Part) {
        self.send(kept, answer, true, Duty::Part(last));
    }

    fn send(
        &self,
        before: Option<Forward>,
        answer: Result<RawReply, Status>,
        end: bool,
        duty: Duty,
    ) {
        let position = Some(StreamPosition { seq: self.seq, end });
        let reply = self.to.clone().map(|to| Reply { to, answer, position });
        if before.is_none() && reply.is_none() {
            return duty.complete();
        }
        self.replies.send(Outgoing::new(before.into_iter().collect(), reply, duty));
    }
}
