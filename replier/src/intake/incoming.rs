//! What a record must be to become a request: everything in it is checked before anything runs.

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Instant;

use antiphon_common::config::ReplierSettings;
use antiphon_common::wire::{Caps, HeaderFault, Headers, RequestHeaders, RetryHeaders, is_packed};
use antiphon_common::{Clocks, Code, Deadline, Envelope, EnvelopeFault, SignatureFault, Status};
use bytes::Bytes;
use prometheus::IntCounter;
use rdkafka::message::Timestamp;

use crate::failures::Failures;
use crate::failures::original::{KeptHeaders, Original};
use crate::handlers::context::{Context, Facts, Job, RawRequest};
use crate::handlers::extract::Extensions;
use crate::handlers::id::Id;
use crate::handlers::routes::Routes;
use crate::intake::cancellations::{Cancellable, Cancellations};
use crate::intake::clocks::{LogEnds, Written, left};
use crate::intake::record::Record;
use crate::intake::reply_to::{ReplyPolicy, ReplyRefused};
use crate::intake::tracker::Taken;
use crate::sending::protection::Protection;

/// A request, or what is to be kept as a dead letter at once.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) context: Context,
    /// Its place in the table of its partition, if it may be cancelled.
    pub(crate) cancellable: Option<Box<Cancellable>>,
    pub(crate) taken: Taken,
}

/// Where a reply goes: checked.
#[derive(Debug, Clone)]
pub(crate) struct ReplyTo {
    pub(crate) topic: Arc<str>,
    pub(crate) place: ReplyPlace,
    /// Seals and signs the reply; `None` if neither is to be done.
    pub(crate) protection: Option<Arc<Protection>>,
}

/// Where in its topic. One value, since there are as many as requests that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyPlace {
    /// Where the key, or the producer, puts it.
    Any,
    /// In this partition.
    In(i32),
    /// The same, and it may share a record with others.
    SharedIn(i32),
}

impl ReplyPlace {
    pub(crate) fn new(partition: Option<i32>, shares: bool) -> Self {
        match partition {
            None => Self::Any,
            Some(partition) if shares => Self::SharedIn(partition),
            Some(partition) => Self::In(partition),
        }
    }

    pub(crate) fn partition(self) -> Option<i32> {
        match self {
            Self::Any => None,
            Self::In(partition) | Self::SharedIn(partition) => Some(partition),
        }
    }
}

/// A record that cannot even be answered. It is counted, and kept as a dead letter or passed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Rejected {
    #[error("{0}")]
    Headers(HeaderFault),
    #[error("{0}")]
    ReplyHeaders(HeaderFault),
    #[error("one of the requests that share a record cannot be read: {0}")]
    Packed(HeaderFault),
    #[error("{0}")]
    Signature(SignatureFault),
    #[error("the reply topic `{}` is refused: {why}", topic.escape_debug())]
    ReplyTopic { topic: String, why: ReplyRefused },
}

impl Rejected {
    /// The label of the metric.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Headers(_) => "headers",
            Self::ReplyHeaders(_) => "reply_headers",
            Self::Packed(_) => "packed",
            Self::Signature(_) => "signature",
            Self::ReplyTopic { .. } => "reply_topic",
        }
    }

    /// What its dead letter says.
    fn status(&self) -> Status {
        let code = match self {
            Self::Headers(_) | Self::ReplyHeaders(_) | Self::Packed(_) => Code::InvalidArgument,
            Self::Signature(_) => Code::Unauthenticated,
            Self::ReplyTopic { .. } => Code::PermissionDenied,
        };
        Status::new(code, self.to_string())
    }
}

/// Reads requests out of records.
pub(crate) struct RecordReader {
    policy: ReplyPolicy,
    settings: ReplierSettings,
    failures: Arc<Failures>,
    /// Knows which requests need no answer.
    routes: Option<Arc<Routes>>,
    /// The last reply topic that was allowed: most requests name the same one.
    last: Option<Arc<str>>,
    /// Requests must be signed, or sealed.
    protection: Protection,
    /// The same for replies to requests that were sealed, and to others.
    sealing: Option<Arc<Protection>>,
    plain: Option<Arc<Protection>>,
    /// Requests whose payloads are refused.
    unopened: Option<IntCounter>,
    ends: Arc<LogEnds>,
}

/// A request, before it is known to be taken.
pub(crate) struct Parsed {
    pub(crate) context: Context,
    pub(crate) cancellable: bool,
    /// Whether the caller's clock and this one cannot both be right.
    pub(crate) clocks_differ: bool,
}

/// What a retry topic adds to a record's headers is no fault of the request: so much more is allowed
/// there.
const ADDED: Caps = Caps { count: 8, bytes: 1024 };

/// The id in the headers of a record.
pub(crate) fn correlation_id<'a>(headers: &RequestHeaders<'a>) -> Result<&'a [u8], Rejected> {
    headers.correlation_id().map_err(Rejected::ReplyHeaders)
}

impl RecordReader {
    pub(crate) fn new(
        policy: ReplyPolicy,
        settings: ReplierSettings,
        failures: Arc<Failures>,
    ) -> Self {
        let (protection, ends) = (Protection::default(), Arc::default());
        let (routes, last, sealing, plain, unopened) = (None, None, None, None, None);
        Self {
            policy,
            settings,
            failures,
            routes,
            last,
            protection,
            sealing,
            plain,
            unopened,
            ends,
        }
    }

    /// Where the logs end: to be told by whoever asks the brokers.
    pub(crate) fn log_ends(&self) -> Arc<LogEnds> {
        Arc::clone(&self.ends)
    }

    /// Lets requests through that name no reply topic, if they are for handlers that need none.
    pub(crate) fn with_one_way(self, routes: Arc<Routes>) -> Self {
        Self { routes: Some(routes), ..self }
    }

    /// Refuses requests, and cancel records, that are not signed with one of these keys, opens the
    /// payloads of requests, and has replies sealed and signed. What does not open is counted.
    pub(crate) fn with_protection(self, protection: Protection, unopened: IntCounter) -> Self {
        let (sealing, plain) = (protection.clone().shared(), protection.unsealed().shared());
        Self { protection, sealing, plain, unopened: Some(unopened), ..self }
    }

    /// Whether a record has several requests in its payload. Each is signed for itself.
    pub(crate) fn is_packed(record: &impl Record) -> bool {
        record.headers().is_ok_and(is_packed)
    }

    /// Reads the headers of a record of `topic`, which may be a request or cancel one.
    pub(crate) fn headers<'a>(
        &self,
        record: &'a impl Record,
        topic: &str,
    ) -> Result<RequestHeaders<'a>, Rejected> {
        let raw = record.headers().map_err(|_| Rejected::Headers(HeaderFault::Malformed))?;
        let Caps { mut count, mut bytes } = Caps::default();
        let waiting = self.failures.topics.waiting(topic);
        if waiting.is_some() {
            (count, bytes) = (count + ADDED.count, bytes + ADDED.bytes);
        }
        let headers =
            RequestHeaders::read(raw, Caps { count, bytes }).map_err(Rejected::Headers)?;
        if let Some(integrity) = &self.protection.integrity {
            // A request that waited in a retry topic is signed for the topic that it was sent to.
            let topic = waiting.map_or(topic, |waiting| &*waiting.of);
            integrity
                .check_request(&headers, topic, record.key(), record.payload())
                .map_err(Rejected::Signature)?;
        }
        Ok(headers)
    }

    /// Checks a request and copies it: it belongs to a fetch buffer, which must not be held while
    /// a handler runs. `clocks` are read if a deadline has to be, and not again for those after it.
    pub(crate) fn read(
        &mut self,
        record: &impl Record,
        headers: &mut RequestHeaders<'_>,
        topic: &Arc<str>,
        clocks: &LazyCell<Clocks>,
    ) -> Result<Parsed, Rejected> {
        let place = self.place(record, topic);
        let endpoint = headers.endpoint();
        let opened = self.open(record, headers, &place.topic);
        let protection =
            if matches!(opened, Ok(Some(_))) { self.sealing.clone() } else { self.plain.clone() };
        let needs_none = !headers.has_reply_topic() && self.is_one_way(&place.topic, endpoint);
        let (correlation_id, reply_to) = if needs_none {
            (headers.correlation_id().unwrap_or_default(), None)
        } else {
            let correlation_id = correlation_id(headers)?;
            let topic = self.reply_topic(&place.topic, headers)?;
            let partition = headers.reply_partition().map_err(Rejected::ReplyHeaders)?;
            let place = ReplyPlace::new(partition, headers.accepts_packed());
            (correlation_id, Some(ReplyTo { topic, place, protection }))
        };
        let deadline = headers.deadline_unix_millis();
        let fault = deadline.err().or(endpoint.err());
        let fault = fault.map(|fault| Box::new(Status::invalid_argument(fault.to_string())));
        let (idempotency_key, content_type) = (headers.idempotency_key(), headers.content_type());
        let parts = [record.payload(), record.key(), idempotency_key, content_type];
        let mut copies = Copies::of(&parts);
        let [payload, key, idempotency_key, content_type] = parts.map(|part| copies.next(part));
        let written = deadline.ok().flatten();
        let (deadline, clocks_differ) = match written {
            Some(written) => self.deadline(record, written, &place, **clocks),
            None => (None, false),
        };
        let original = self.failures.policy.forwards().then(|| {
            let kept = kept_headers(record);
            Box::new(place.original(kept, key.clone(), payload.clone(), deadline))
        });
        // What is written elsewhere stays sealed; only the handler sees what is in it.
        let (payload, fault) = match opened {
            Ok(Some(opened)) => (Some(opened), fault),
            Ok(None) => (payload, fault),
            Err(status) => (None, Some(Box::new(status))),
        };
        let request = RawRequest {
            payload: payload.unwrap_or_default(),
            endpoint: endpoint.ok().flatten().map(Box::from),
            content_type,
        };
        let not_before = place.not_before;
        Ok(Parsed {
            // A request without an id is none that a cancel record could name.
            cancellable: headers.is_cancellable() && !correlation_id.is_empty(),
            context: Context::from(Facts {
                job: Job { request, reply_to, fault, not_before, original },
                key,
                headers: headers.take_application(),
                correlation_id: correlation_id.into(),
                deadline,
                attempt: headers.attempt(),
                idempotency_key,
                claim: headers.claim().map(Bytes::copy_from_slice),
                topic: place.topic,
                partition: place.partition,
                offset: place.offset,
                runs: place.runs.saturating_add(1),
                cancelled: None,
                extensions: Extensions::default(),
            }),
            clocks_differ,
        })
    }

    /// A deadline that was written by another clock, and whether that cannot agree with this one.
    fn deadline(
        &self,
        record: &impl Record,
        written: u64,
        place: &Place,
        now: Clocks,
    ) -> (Option<Deadline>, bool) {
        let created = match record.timestamp() {
            // In a retry topic it is the time of whoever put the request there.
            Timestamp::CreateTime(at) if place.not_before.is_none() => u64::try_from(at).ok(),
            _ => None,
        };
        let age = || self.ends.age(&place.topic, place.partition, place.offset, now.instant);
        let written = Written { deadline: written, created };
        let left = left(written, now.unix_millis, age);
        let time = left.time.min(self.settings.max_deadline());
        (Some(Deadline::after_from(now.instant, time)), left.clocks_differ)
    }

    /// Opens the payload of a request that is sealed; `None` if it is plain.
    fn open(
        &self,
        record: &impl Record,
        headers: &RequestHeaders<'_>,
        topic: &str,
    ) -> Result<Option<Bytes>, Status> {
        let (key, payload) = (record.key(), record.payload());
        let envelope = self.protection.envelope.as_deref();
        Envelope::open_request(envelope, headers, topic, key, payload).map_err(|fault| {
            if let Some(unopened) = &self.unopened {
                unopened.inc();
            }
            let code = match fault {
                EnvelopeFault::Off | EnvelopeFault::Malformed => Code::InvalidArgument,
                _ => Code::Unauthenticated,
            };
            Status::new(code, fault.to_string())
        })
    }

    fn is_one_way(&self, topic: &str, endpoint: Result<Option<&str>, HeaderFault>) -> bool {
        let both = self.routes.as_ref().zip(endpoint.ok());
        both.is_some_and(|(routes, endpoint)| routes.is_one_way(topic, endpoint))
    }

    /// A record that cannot even be answered, if such records are kept: no handler sees it, and it
    /// becomes a dead letter.
    pub(crate) fn poison(
        &self,
        record: &impl Record,
        topic: &Arc<str>,
        rejected: &Rejected,
    ) -> Option<Parsed> {
        if !self.failures.policy.keeps_poison() {
            return None;
        }
        let place = self.place(record, topic);
        let payload = record.payload().map(Bytes::copy_from_slice);
        let key = record.key().map(Bytes::copy_from_slice);
        let original = place.original(kept_headers(record), key, payload, None);
        let job = Job {
            fault: Some(Box::new(rejected.status())),
            original: Some(Box::new(Original { poison: true, ..original })),
            ..Job::default()
        };
        let context = Context::from(Facts { job, ..place.facts() });
        Some(Parsed { context, cancellable: false, clocks_differ: false })
    }

    /// Where a record counts as being: in the request topic, also if it was read from a retry
    /// topic.
    fn place(&self, record: &impl Record, topic: &Arc<str>) -> Place {
        let (partition, offset) = (record.partition(), record.offset());
        let Some(waiting) = self.failures.topics.waiting(topic) else {
            let topic = Arc::clone(topic);
            return Place { topic, partition, offset, stage: 0, runs: 0, not_before: None };
        };
        let raw = record.headers().ok().into_iter().flatten();
        let added = RetryHeaders::read(raw, waiting.delay);
        let first = added.origin.map_or((partition, offset), |at| (at.partition, at.offset));
        Place {
            // The header may name any topic; this one the record was read for.
            topic: Arc::clone(&waiting.of),
            partition: first.0,
            offset: first.1,
            stage: waiting.stage,
            runs: added.runs,
            not_before: Some(added.not_before),
        }
    }

    /// The topic to answer to, if it is allowed for requests of `topic`.
    fn reply_topic(
        &mut self,
        topic: &str,
        headers: &RequestHeaders<'_>,
    ) -> Result<Arc<str>, Rejected> {
        // The last one was allowed for its request topic; if there is only one, then for this too.
        if let Some(last) = self.last.as_ref().filter(|last| headers.is_to(last))
            && self.policy.serves_one_topic()
        {
            return Ok(Arc::clone(last));
        }
        let reply_topic = headers.reply_topic().map_err(Rejected::ReplyHeaders)?;
        self.policy
            .check(topic, reply_topic)
            .map_err(|why| Rejected::ReplyTopic { topic: reply_topic.to_owned(), why })?;
        let allowed = Arc::from(reply_topic);
        self.last = Some(Arc::clone(&allowed));
        Ok(allowed)
    }
}

/// Copies of parts of a record, in one piece of memory: they are cloned on their way, and of one piece
/// only the first clone allocates.
struct Copies(Bytes);

impl Copies {
    fn of(parts: &[Option<&[u8]>]) -> Self {
        let mut all = Vec::with_capacity(parts.iter().flatten().map(|part| part.len()).sum());
        parts.iter().flatten().for_each(|part| all.extend_from_slice(part));
        Self(all.into())
    }

    /// The copy of the next part.
    fn next(&mut self, part: Option<&[u8]>) -> Option<Bytes> {
        part.map(|part| self.0.split_to(part.len()))
    }
}

/// All headers of a record; none if they cannot be read.
fn kept_headers(record: &impl Record) -> KeptHeaders {
    KeptHeaders::copy(record.headers().ok().into_iter().flatten())
}

/// Where a request counts as being, and how far it has come.
struct Place {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    stage: usize,
    runs: u32,
    not_before: Option<Instant>,
}

impl Place {
    /// What is known of a request of which nothing else is.
    fn facts(self) -> Facts {
        Facts {
            job: Job::default(),
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            key: None,
            headers: Headers::new(),
            correlation_id: Id::default(),
            deadline: None,
            attempt: 1,
            runs: self.runs.saturating_add(1),
            idempotency_key: None,
            claim: None,
            cancelled: None,
            extensions: Extensions::default(),
        }
    }

    fn original(
        &self,
        headers: KeptHeaders,
        key: Option<Bytes>,
        payload: Option<Bytes>,
        deadline: Option<Deadline>,
    ) -> Original {
        Original {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            offset: self.offset,
            stage: self.stage,
            runs: self.runs,
            deadline,
            poison: false,
            key,
            payload,
            headers,
        }
    }
}

impl Parsed {
    pub(crate) fn taken(self, taken: Taken, cancellations: &Arc<Cancellations>) -> Incoming {
        let Self { mut context, cancellable, .. } = self;
        let cancellable = cancellable.then(|| {
            Box::new(cancellations.register(Bytes::copy_from_slice(context.correlation_id())))
        });
        context.facts.cancelled = cancellable.as_ref().map(|request| request.token().clone());
        Incoming { context, cancellable, taken }
    }
}
