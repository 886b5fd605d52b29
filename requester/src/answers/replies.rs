//! Several replies to one request, as a stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use antiphon_common::CorrelationId;
use futures::Stream;
use prometheus::IntCounter;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::sequence::{Overflow, Sequence};
use crate::call::{
    Ask, CallBuilder, CallError, CallErrorKind, Decode, Ending, Entry, Failure, Name,
};
use crate::table::{Arrivals, Done, Ended, Piece, Pieces};

/// The replies to one request, in their order.
///
/// It ends after the last reply, or with one error: the replier's, a time-out, a reply that is
/// missing, or too many that nobody takes. At most `stream_buffer` replies wait to be taken.
/// Dropping it cancels the call.
#[must_use = "dropping the replies cancels the call"]
#[derive(Debug)]
pub struct Replies<T> {
    arrivals: Arrivals,
    /// `None` once the stream has ended.
    entry: Option<Entry>,
    id: Option<CorrelationId>,
    /// Ends with an error, or without one.
    sequence: Sequence<Ended, Option<Failure>>,
    /// Something was answered.
    answered: bool,
    finished: bool,
    topic: Name,
    started: Instant,
    decode: Decode<T>,
    late_replies: IntCounter,
    /// Ends the stream when somebody else cancels.
    cancelled: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<A: Ask> CallBuilder<'_, A> {
    /// Sends the request, and returns the stream of its replies. A replier that sends only one
    /// makes a stream of one.
    ///
    /// The call's deadline is that of the whole stream. Retries and hedges do not apply, and it
    /// does not wait for room: a stream that cannot be sent yields the error.
    ///
    /// ```no_run
    /// # async fn example(requester: antiphon_requester::Requester) -> Result<(), antiphon_requester::CallError> {
    /// use antiphon_requester::RawRequest;
    /// use futures::StreamExt;
    ///
    /// let mut rows = requester.ask(RawRequest::new("reports", "2026-11")).stream();
    /// while let Some(row) = rows.next().await {
    ///     println!("{:?}", row?.payload);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(mut self) -> Replies<A::Answer> {
        let started = Instant::now();
        let cancelled = self.cancel_on.take().map(|token| Box::pin(token.cancelled_owned()));
        let max = self.session.settings.stream_buffer;
        let topic = self.topic_of();
        let (to, arrivals) = Pieces::channel(max, topic.clone());
        let entry = match self.try_send(started, Done::replies(to)) {
            Ok(entry) => Some(entry),
            Err((failure, done)) => {
                self.session.calls.count_not_sent();
                done.tell(None, Box::new(Err(failure)));
                None
            }
        };
        let id = entry.as_ref().map(Entry::id);
        let sequence = Sequence::new(max);
        Replies {
            arrivals,
            entry,
            id,
            sequence,
            answered: false,
            finished: false,
            topic,
            started,
            decode: A::decode,
            late_replies: self.session.calls.metrics().late_replies.clone(),
            cancelled,
        }
    }
}

impl<T> Replies<T> {
    /// The call's id; `None` if it could not be sent.
    #[must_use]
    pub fn correlation_id(&self) -> Option<CorrelationId> {
        self.id
    }

    fn is_cancelled(&mut self, cx: &mut Context<'_>) -> bool {
        let cancelled = self.cancelled.as_mut();
        cancelled.is_some_and(|cancelled| cancelled.as_mut().poll(cx).is_ready())
    }

    fn take_in(&mut self, Piece { position, ended }: Piece) -> Result<(), Failure> {
        self.answered = true;
        let overflow = |Overflow { cap: max, gap }: Overflow| {
            let missing = gap.map(|gap| gap.start);
            Failure::executed(CallErrorKind::Overflow { max, missing })
        };
        match position {
            // A reply that is no part of a stream is the whole of it.
            None => match *ended {
                Ok(reply) => {
                    self.sequence.push(0, Ok(reply)).map_err(overflow)?;
                    self.sequence.end(1, None);
                }
                Err(failure) => self.sequence.end(0, Some(failure)),
            },
            Some(at) if at.end => self.sequence.end(at.seq, ended.err()),
            Some(at) => self.sequence.push(at.seq, *ended).map_err(overflow)?,
        }
        Ok(())
    }

    /// The end of a stream that is not complete.
    fn broken(&mut self, failure: Failure) -> Result<T, CallError> {
        let failure = match (&failure.kind, self.sequence.gap()) {
            (CallErrorKind::Timeout, Some(gap)) => {
                let (missing, next) = (gap.start, gap.end);
                Failure::executed(CallErrorKind::Gap { missing, next })
            }
            (&CallErrorKind::Overflow { max, missing: None }, Some(gap)) => {
                let missing = Some(gap.start);
                Failure::executed(CallErrorKind::Overflow { max, missing })
            }
            // What was answered in part was executed.
            _ if self.answered => Failure::executed(failure.kind),
            _ => failure,
        };
        self.ending(Err(failure))
    }

    /// Takes the entry out of the table, if the stream is complete.
    fn complete(&mut self, good: bool) {
        self.finished = true;
        self.late_replies.inc_by(self.sequence.dropped());
        if let Some(entry) = self.entry.take() {
            entry.complete(good);
        }
    }

    fn ending(&self, ended: Ended) -> Result<T, CallError> {
        let (topic, id, started) = (self.topic.clone(), self.id, self.started);
        Ending { ended, topic, id, started }.decode(self.decode)
    }
}

impl<T> Stream for Replies<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.finished {
                return Poll::Ready(None);
            }
            if let Some(item) = self.sequence.pop() {
                return Poll::Ready(Some(self.ending(item)));
            }
            if let Some(last) = self.sequence.take_end() {
                self.complete(last.is_none());
                return Poll::Ready(last.map(|failure| self.ending(Err(failure))));
            }
            // First, or a stream that never pauses could not be cancelled.
            let failure = if self.is_cancelled(cx) {
                Failure::unknown(CallErrorKind::Cancelled)
            } else {
                match ready!(self.arrivals.poll_next(cx)).and_then(|piece| self.take_in(piece)) {
                    Ok(()) => continue,
                    Err(failure) => failure,
                }
            };
            self.finished = true;
            let broken = self.broken(failure);
            // Dropped, and thereby cancelled if it is still in the table.
            self.entry = None;
            return Poll::Ready(Some(broken));
        }
    }
}
