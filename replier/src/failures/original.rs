//! A request's record as it was read, for as long as it may have to be written elsewhere.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use antiphon_common::wire::{DeadLetterOut, Origin, RawHeader, RetryHeadersOut};
use antiphon_common::{Deadline, Status};
use bytes::Bytes;
use rdkafka::message::OwnedHeaders;

use crate::sending::outgoing::Forward;

/// The record of a request. Kept only if there are retry topics or dead letters.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    /// The request topic, also of a request that was read from a retry topic.
    pub(crate) topic: Arc<str>,
    /// Where it was first.
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// The number of the retry topic that it was read from; 0 for the request topic.
    pub(crate) stage: usize,
    /// How often a handler had run for it when it was read.
    pub(crate) runs: u32,
    pub(crate) deadline: Option<Deadline>,
    /// It cannot even be answered.
    pub(crate) poison: bool,
    pub(crate) key: Option<Bytes>,
    pub(crate) payload: Option<Bytes>,
    pub(crate) headers: KeptHeaders,
}

/// All headers of a record, one allocation for their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeptHeaders {
    bytes: Vec<u8>,
    /// Of each name and its value.
    lengths: Vec<(usize, Option<usize>)>,
}

impl Original {
    /// The record that waits in a retry topic.
    pub(crate) fn retry(&self, to: Arc<str>, runs: u32, not_before: Instant) -> Forward {
        let not_before_ms = Deadline::at(not_before).to_unix_millis();
        let headers = RetryHeadersOut { origin: self.origin(), runs, not_before_ms };
        self.forward(to, headers.write(self.headers.iter()))
    }

    /// The record that is kept as a dead letter.
    pub(crate) fn dead_letter(
        &self,
        to: Arc<str>,
        runs: u32,
        status: &Status,
        group: &str,
    ) -> Forward {
        let failed_at = SystemTime::now();
        let headers = DeadLetterOut { origin: self.origin(), runs, status, failed_at, group };
        self.forward(to, headers.write(self.headers.iter()))
    }

    fn origin(&self) -> Origin {
        let Self { topic, partition, offset, .. } = self;
        Origin { topic: String::from(&**topic), partition: *partition, offset: *offset }
    }

    /// The partitioner chooses by the key, as for the request itself: the partitions of the other
    /// topic may be more or fewer.
    fn forward(&self, topic: Arc<str>, headers: OwnedHeaders) -> Forward {
        let (key, payload) = (self.key.clone(), self.payload.clone());
        Forward { topic, partition: None, key, payload, headers }
    }
}

impl KeptHeaders {
    /// Copies the headers of a record.
    pub(crate) fn copy<'a>(headers: impl IntoIterator<Item = RawHeader<'a>>) -> Self {
        let mut kept = Self::default();
        for (name, value) in headers {
            kept.bytes.extend_from_slice(name);
            kept.bytes.extend_from_slice(value.unwrap_or_default());
            kept.lengths.push((name.len(), value.map(<[u8]>::len)));
        }
        kept
    }

    /// The headers, in the order of the wire.
    pub(crate) fn iter(&self) -> impl Iterator<Item = RawHeader<'_>> {
        let mut rest = &self.bytes[..];
        self.lengths.iter().map(move |(name, value)| {
            let (key, after) = rest.split_at(*name);
            let (text, after) = after.split_at(value.unwrap_or_default());
            rest = after;
            (key, value.is_some().then_some(text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_common::Code;
    use antiphon_common::wire::{DeadLetter, RetryHeaders, names};
    use proptest::prelude::*;
    use rdkafka::message::Headers as _;
    use std::time::Duration;

    fn original(headers: KeptHeaders) -> Original {
        Original {
            topic: "quotes".into(),
            partition: 2,
            offset: 77,
            stage: 0,
            runs: 0,
            deadline: None,
            poison: false,
            key: Some(Bytes::from_static(b"ACME")),
            payload: None,
            headers,
        }
    }

    fn wire(block: &OwnedHeaders) -> impl Iterator<Item = RawHeader<'_>> {
        block.iter().map(|header| (header.key.as_bytes(), header.value))
    }

    #[test]
    fn a_retry_record_is_the_same_request_and_says_when() {
        let headers = [(names::ENDPOINT.as_bytes(), Some(&b"get-quote"[..])), (b"x", None)];
        let original = original(KeptHeaders::copy(headers));
        let minute = Duration::from_secs(60);
        let forward = original.retry("quotes.retry.1".into(), 3, Instant::now() + minute);
        assert_eq!((&*forward.topic, forward.partition), ("quotes.retry.1", None));
        assert_eq!((forward.key, forward.payload), (original.key.clone(), None));
        assert_eq!(wire(&forward.headers).take(2).collect::<Vec<_>>(), headers);
        let read = RetryHeaders::read(wire(&forward.headers), minute);
        assert_eq!((read.origin, read.runs), (Some(original.origin()), 3));
        assert!(read.not_before > Instant::now() + minute / 2);
    }

    #[test]
    fn a_dead_letter_says_why() {
        let status = Status::new(Code::Aborted, "too often");
        let forward = original(KeptHeaders::default()).dead_letter("d".into(), 3, &status, "group");
        let read = DeadLetter::read(wire(&forward.headers)).expect("a dead letter");
        assert_eq!((read.code, &read.error[..], read.runs), (Code::Aborted, "too often", 3));
        assert_eq!((&read.origin.topic[..], read.origin.offset), ("quotes", 77));
        assert_eq!(read.group, Some("group"));
    }

    proptest! {
        #[test]
        fn headers_are_kept_as_they_are(headers: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
            let raw: Vec<RawHeader<'_>> =
                headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect();
            let kept = KeptHeaders::copy(raw.iter().copied());
            prop_assert_eq!(kept.iter().collect::<Vec<_>>(), raw);
        }
    }
}
