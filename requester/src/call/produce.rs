//! How a question goes out: limits, registration, headers, producer. It never waits.

use std::time::Instant;

use antiphon_common::wire::{MAX_ITEM_PAYLOAD, Pack, RequestHeadersOut};
use antiphon_common::{Clocks, Deadline, clock};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::BaseRecord;
use tokio::runtime::Handle;

use super::error::{CallErrorKind, Failure};
use super::options::Question;
use super::pending::Entry;
use crate::session::Session;
use crate::table::{Cancel, Done};

/// A call that was not sent: why, and who is to be told.
pub(crate) type Refused = (Failure, Done);

/// Where the answer is to come to, and whether the request's arrival is reported.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answers {
    /// To where replies come just now.
    Anywhere,
    /// To this partition, or any; reported.
    At(Option<i32>),
    /// There is none; reported.
    Unwanted,
}

impl Session {
    /// Sends a question. `done` is told how the call ends, or handed back if it could not be sent.
    pub(crate) fn send(
        &self,
        question: &Question<'_>,
        deadline: Deadline,
        now: Instant,
        done: Done,
    ) -> Result<Entry, Refused> {
        let entry = self.admit(question, deadline, now, done)?;
        match self.produce(&entry, question, deadline, now, Answers::Anywhere) {
            Ok(()) => Ok(entry),
            Err(failure) => match entry.withdraw() {
                Ok(done) => Err((failure, done)),
                // Somebody else has just ended the call, and has said so: as unknown, if the
                // requester was closed, since he could not know that nothing was sent.
                Err(ended) => Ok(ended),
            },
        }
    }

    /// Checks a question, and registers the call.
    pub(crate) fn admit(
        &self,
        question: &Question<'_>,
        deadline: Deadline,
        now: Instant,
        done: Done,
    ) -> Result<Entry, Refused> {
        if let Err(failure) = self.check(question, deadline, now) {
            return Err((failure, done));
        }
        let options = question.options;
        let cancel = if options.cancellable { Cancel::Unacknowledged } else { Cancel::Quiet };
        let call = self.calls.register(now, deadline, question.size(), cancel, done)?;
        // From here on the entry is taken out again, whatever happens.
        Ok(Entry::new(self.calls.clone(), call, question.topic.clone()))
    }

    /// Hands the request of a registered call to a producer.
    pub(crate) fn produce(
        &self,
        entry: &Entry,
        question: &Question<'_>,
        deadline: Deadline,
        now: Instant,
        answers: Answers,
    ) -> Result<(), Failure> {
        let options = question.options;
        let acknowledged = options.cancellable || !matches!(answers, Answers::Anywhere);
        // Read after the registration: when a lease moves, the old partition is read until those
        // calls have ended that were registered before.
        let reply_partition = match answers {
            Answers::Anywhere => {
                self.inbox.check_authorized().map_err(Failure::not_sent)?;
                self.inbox.partition().map_err(|none| Failure::not_sent(none.into()))?
            }
            Answers::At(partition) => partition,
            Answers::Unwanted => None,
        };
        // A request that nobody waits for is as good later, unless its caller has said until when.
        let is_answered = !matches!(answers, Answers::Unwanted);
        let has_deadline = is_answered || options.deadline.is_some();
        let clocks = Clocks { instant: now, unix_millis: clock::unix_millis() };
        let headers = RequestHeadersOut {
            correlation_id: entry.id(),
            reply_topic: is_answered.then(|| self.inbox.topic()),
            reply_partition,
            deadline_ms: has_deadline.then(|| deadline.to_unix_millis_by(clocks)),
            endpoint: question.endpoint.map(|name| name.as_str()),
            content_type: question.content_type.map(|name| name.as_str()),
            attempt: question.attempt,
            idempotency_key: options.idempotency_key.as_deref(),
            claim: question.claim,
            cancellable: options.cancellable,
            accepts_packed: self.accepts_packed(answers, reply_partition),
            application: &options.headers,
        };
        let runtime = if acknowledged { None } else { self.packs_on(question) };
        let is_plain = self.envelope.is_none() && self.integrity.is_none();
        if let Some(runtime) = runtime.as_ref().filter(|_| is_plain) {
            let write = |pack: &mut Pack| pack.push_request(&headers, question.payload);
            self.producers.gather(runtime, question.topic, now, write);
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to be 64 bits at compile time"
        )]
        let mut record = BaseRecord::with_opaque_to(question.topic, entry.call() as usize)
            .payload(question.payload);
        record.key = options.key.as_deref();
        // A partition knows only the requests that were sent to it, so all with one idempotency key
        // go to the same one.
        if record.key.is_none() && options.partition.is_none() {
            record.key = options.idempotency_key.as_deref();
        }
        record.partition = options.partition;
        // Of the same reading as the deadline: the client would look for the time again.
        record.timestamp = i64::try_from(clocks.unix_millis).ok();
        let mut block = headers.write();
        let sealed;
        if let Some(envelope) = &self.envelope {
            let (topic, plain) = (question.topic, question.payload);
            (block, sealed) = envelope.seal_request(block, topic, record.key, plain);
            record.payload = Some(&sealed);
        }
        // The signature is over what is on the wire, so it is checked before anything is opened.
        if let Some(integrity) = &self.integrity {
            block = integrity.sign_request(block, question.topic, record.key, record.payload);
        }
        if let Some(runtime) = runtime {
            let write = |pack: &mut Pack| pack.push_written(&block, None, record.payload);
            self.producers.gather(&runtime, question.topic, now, write);
            return Ok(());
        }
        record = record.headers(block);
        self.producers.send(record, acknowledged).map_err(Failure::refused)
    }

    /// Replies share records in a partition that was named only. Tickets find theirs by themselves.
    fn accepts_packed(&self, answers: Answers, partition: Option<i32>) -> bool {
        let is_plain = matches!(answers, Answers::Anywhere);
        is_plain && partition.is_some() && self.settings.accept_packed
    }

    /// The runtime on which a request is gathered with others, if it may share a record: it is small,
    /// nothing but chance picks its partition, and many are under way.
    fn packs_on(&self, question: &Question<'_>) -> Option<Handle> {
        let options = question.options;
        let packs = self.settings.pack_requests
            && options.key.is_none()
            && options.idempotency_key.is_none()
            && options.partition.is_none()
            && question.payload.len() <= MAX_ITEM_PAYLOAD
            && self.producers.gathers();
        packs.then(Handle::try_current)?.ok()
    }

    fn check(
        &self,
        question: &Question<'_>,
        deadline: Deadline,
        now: Instant,
    ) -> Result<(), Failure> {
        question.options.check()?;
        // Asked again after the registration; a call that cannot be sent yet need not get so far.
        self.inbox.partition().map_err(|none| Failure::not_sent(none.into()))?;
        let (size, max) = (question.payload.len(), self.settings.max_request_bytes);
        if size > max {
            return Err(Failure::not_sent(CallErrorKind::TooLarge { size, max }));
        }
        // It would not fit if nothing else were in flight, so there is nothing to wait for.
        let (size, max) = (question.size(), self.settings.max_in_flight_bytes);
        if size > max {
            return Err(Failure::not_sent(CallErrorKind::NeverFits { size, max }));
        }
        if deadline.instant() <= now {
            return Err(Failure::not_sent(CallErrorKind::Timeout));
        }
        Ok(())
    }
}

/// A record's opaque value is a pointer's width, and a call's key is 62 bits.
const _: () = assert!(usize::BITS >= 64, "antiphon needs a 64-bit target");

impl Failure {
    /// The producer did not take the request.
    pub(crate) fn refused(error: KafkaError) -> Self {
        Self::not_sent(match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => {
                let limit = "the producer's queue is full (queue.buffering.max.messages, …kbytes)";
                CallErrorKind::Overloaded(limit.to_owned())
            }
            _ => CallErrorKind::Produce(error),
        })
    }
}
