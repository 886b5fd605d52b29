//! Doors for the fuzz targets to what is private, each with what must hold of whatever comes out. Not
//! an interface: it is built with the feature `fuzzing` only.

use std::cell::{LazyCell, RefCell};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use antiphon_common::config::ReplierSettings;
use antiphon_common::wire::RawHeader;
use antiphon_common::{Clocks, Code, Status};
use antiphon_native::MalformedHeaders;
use bytes::Bytes;
use rdkafka::message::Timestamp;

use crate::dedupe::identity::Identity;
use crate::dedupe::kept;
use crate::failures::{Failures, Passed};
use crate::intake::gaps;
use crate::intake::incoming::RecordReader;
use crate::intake::record::Record;
use crate::intake::reply_to::ReplyPolicy;

/// The name and the value of a header, with bytes of its own.
pub type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

/// A record that nobody wrote.
#[derive(Debug)]
pub struct Forged {
    /// Whether it was read from the first retry topic, and not from the request topic.
    pub retried: bool,
    /// When it was written, in Unix milliseconds, by whoever wrote it.
    pub created: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its payload.
    pub payload: Option<Vec<u8>>,
    /// Its headers; `None` if the block cannot be parsed.
    pub headers: Option<Vec<OwnedHeader>>,
}

const REQUESTS: &str = "quotes";
const RETRIES: &str = "quotes.retry.1";
/// How long a request may wait in the retry topic.
const DELAY: Duration = Duration::from_secs(1);
/// The latest deadline.
const MOST: Duration = Duration::from_secs(60);

static FAILURES: LazyLock<Arc<Failures>> = LazyLock::new(failures);

thread_local! {
    static READER: RefCell<RecordReader> = RefCell::new(reader());
}

impl Record for Forged {
    fn partition(&self) -> i32 {
        0
    }

    fn offset(&self) -> i64 {
        7
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::CreateTime(self.created)
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    fn headers(&self) -> Result<impl Iterator<Item = RawHeader<'_>>, MalformedHeaders> {
        let headers = self.headers.as_ref().ok_or(MalformedHeaders)?;
        Ok(headers.iter().map(|(name, value)| (&name[..], value.as_deref())))
    }
}

/// Takes a record in as the polling thread does, and writes it elsewhere as a failure would be.
///
/// # Panics
/// If a reply could go where none may, a wait is too long, or an error could forge a line of a log.
pub fn take_in(record: &Forged) {
    READER.with_borrow_mut(|reader| check(record, reader));
}

fn check(record: &Forged, reader: &mut RecordReader) {
    let topic: Arc<str> = if record.retried { RETRIES } else { REQUESTS }.into();
    let read = match reader.headers(record, &topic) {
        Ok(headers) if headers.is_cancel() => return,
        Ok(mut headers) => reader.read(record, &mut headers, &topic, &LazyCell::new(Clocks::read)),
        Err(why) => Err(why),
    };
    let parsed = match read {
        Ok(parsed) => parsed,
        Err(why) => {
            let text = why.to_string();
            assert!(!text.chars().any(char::is_control), "a log could be forged: {text:?}");
            assert!(
                ["headers", "reply_headers", "reply_topic", "signature"].contains(&why.reason())
            );
            reader.poison(record, &topic, &why).expect("poison is kept")
        }
    };
    let (context, job) = (&parsed.context, parsed.context.job());
    let reply_topic = job.reply_to.as_ref().map(|to| &*to.topic);
    if let Some(topic) = reply_topic {
        let own = ["quotes.replies", "quotes-replies", "quotes.reply"].contains(&topic);
        assert!(own || topic.starts_with("team-"), "{topic:?}");
    }
    let partition = job.reply_to.as_ref().and_then(|to| to.place.partition());
    assert!(partition.is_none_or(|partition| partition >= 0));
    assert!(context.facts.deadline.is_none_or(|deadline| deadline.remaining() <= MOST));
    assert!(job.not_before.is_none_or(|then| then <= Instant::now() + DELAY));
    let of = |group| Identity::of(context, group, job.request.endpoint.as_deref(), reply_topic);
    assert_ne!(of("a"), of("b"));
    let original = job.original.as_ref().expect("originals are kept");
    assert_eq!(&*original.topic, REQUESTS);
    // Poison becomes a dead letter at once, wherever it was read.
    assert_eq!(job.not_before.is_some(), record.retried && !original.poison);
    let status = job.fault.as_deref().cloned();
    let status = status.unwrap_or_else(|| Status::new(Code::Unavailable, "why"));
    match FAILURES.pass(original, &status, u32::MAX, true) {
        Passed::Nowhere => {}
        Passed::Retry(forward) => assert_eq!(&*forward.topic, RETRIES),
        Passed::DeadLetter(forward) => assert_eq!(&*forward.topic, "quotes.dlq"),
    }
}

/// Decodes the metadata of a commit.
///
/// # Panics
/// If what it says is out of order, or is not what is written for it.
pub fn decode_gaps(next: i64, metadata: &[u8]) {
    let runs = gaps::decode(next, metadata);
    let mut at = next;
    for run in &runs {
        assert!(at <= run.start && run.start < run.end, "{runs:?}");
        at = run.end;
    }
    if let Some(text) = gaps::encode(next, runs.iter().cloned()) {
        let again = gaps::decode(next, text.as_bytes());
        assert!(!again.is_empty() && runs.starts_with(&again), "{runs:?} {again:?}");
    }
}

/// Decodes a reply that was kept for requests that come again.
///
/// # Panics
/// If it reads otherwise once it is written again.
pub fn decode_kept(bytes: &[u8]) {
    let _ = kept::written(&kept::read(bytes));
    let encode = |bytes: Bytes| {
        let answer = kept::decode(bytes)?;
        Some(kept::encode(answer.as_ref()).expect("what was kept can be kept"))
    };
    if let Some(written) = encode(Bytes::copy_from_slice(bytes)) {
        assert_eq!(encode(written.clone()), Some(written));
    }
    let _ = Identity::from_bytes(bytes);
}

fn settings() -> ReplierSettings {
    let mut settings = ReplierSettings {
        allow_reply_to: vec!["team-*".to_owned()],
        max_deadline_ms: 60_000,
        ..ReplierSettings::default()
    };
    settings.retry.delays = vec!["1s".to_owned()];
    settings.dead_letter.enabled = true;
    settings
}

fn failures() -> Arc<Failures> {
    let failures = Failures::new(&[REQUESTS.to_owned()], &settings());
    Arc::new(failures.expect("topics that do not collide"))
}

fn reader() -> RecordReader {
    let settings = settings();
    let policy = ReplyPolicy::new(&[REQUESTS.to_owned()], &settings.allow_reply_to);
    RecordReader::new(policy.expect("valid patterns"), settings, Arc::clone(&FAILURES))
}
