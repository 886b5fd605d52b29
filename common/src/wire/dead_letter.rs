//! The headers of a dead letter: written by the replier, read by those who look into it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::message::{Header, OwnedHeaders};

use super::origin::{Added, Origin, RawHeader, put_request};
use super::request::put;
use super::{HeaderFault, names};
use crate::status::{Code, Status};

/// What a replier adds to a request that it gives up and keeps.
#[derive(Debug)]
pub struct DeadLetterOut<'a> {
    /// Where the request was first.
    pub origin: Origin,
    /// How often a handler has run for it.
    pub runs: u32,
    /// Why it was given up.
    pub status: &'a Status,
    /// When it was given up.
    pub failed_at: SystemTime,
    /// The consumer group that gave it up.
    pub group: &'a str,
}

/// A dead letter, as far as its headers tell: the request as it was, and why it is here.
///
/// Its key and its payload are those of the request. What is kept of the headers is bounded by the
/// record itself, from which everything is borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// Where the request was first, and where it goes if it is replayed.
    pub origin: Origin,
    /// How often a handler has run for it.
    pub runs: u32,
    /// The code of the last failure.
    pub code: Code,
    /// The message of the last failure; what is not UTF-8 in it is replaced.
    pub error: String,
    /// When it was given up, if that is known.
    pub failed_at: Option<SystemTime>,
    /// The consumer group that gave it up, if that is known.
    pub group: Option<&'a str>,
    /// How many names of the request's headers could not be written as they were, and are escaped.
    pub escaped: u32,
    /// The request's own headers, those of the protocol included, in their order.
    pub headers: Vec<RawHeader<'a>>,
}

impl DeadLetterOut<'_> {
    /// Writes the header block: the request's own headers, and these.
    #[must_use]
    pub fn write<'a>(&self, request: impl IntoIterator<Item = RawHeader<'a>>) -> OwnedHeaders {
        let failed_at = self.failed_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let block = put_request(OwnedHeaders::new(), request);
        let block = self.origin.write(block);
        let block = put(block, names::RUNS, self.runs.to_string().as_bytes());
        let block = put(block, names::STATUS, self.status.code().name().as_bytes());
        let block = put(block, names::ERROR, self.status.message().as_bytes());
        let block = put(block, names::FAILED_AT, failed_at.as_millis().to_string().as_bytes());
        put(block, names::FAILED_GROUP, self.group.as_bytes())
    }
}

impl<'a> DeadLetter<'a> {
    /// Reads the headers of a record in a dead-letter topic.
    ///
    /// # Errors
    /// [`HeaderFault::Missing`] or [`HeaderFault::Invalid`] if they do not say where the request
    /// was: then it is no dead letter of a replier.
    pub fn read(headers: impl IntoIterator<Item = RawHeader<'a>>) -> Result<Self, HeaderFault> {
        let mut added = Added::default();
        let headers: Vec<_> = headers.into_iter().filter(|header| !added.take(*header)).collect();
        for name in [names::ORIGIN_TOPIC, names::ORIGIN_PARTITION, names::ORIGIN_OFFSET] {
            added.get(name).ok_or(HeaderFault::Missing(name))?;
        }
        let origin = added.origin().ok_or(HeaderFault::Invalid {
            name: names::ORIGIN_TOPIC,
            expected: "a topic, with its partition and offset in the headers beside it",
        })?;
        let failed_at = added.number(names::FAILED_AT).and_then(|millis| {
            // A number that no clock can show is as good as none.
            UNIX_EPOCH.checked_add(Duration::from_millis(millis))
        });
        let error = added.get(names::ERROR).unwrap_or_default();
        let error = &error[..error.len().min(Status::MAX_MESSAGE)];
        Ok(Self {
            origin,
            runs: added.number(names::RUNS).unwrap_or_default(),
            code: added.get(names::STATUS).map_or(Code::Unknown, Code::from_name),
            error: String::from_utf8_lossy(error).into_owned(),
            failed_at,
            group: added.name(names::FAILED_GROUP),
            escaped: added.number(names::ESCAPED).unwrap_or_default(),
            headers,
        })
    }

    /// The header block of the same request, to be written to its topic again.
    ///
    /// The caller's deadline is left out, since it has passed: a request that has none is handled
    /// whenever it arrives. With `deadline_ms`, in Unix milliseconds, it gets a new one.
    #[must_use]
    pub fn replay(&self, deadline_ms: Option<u64>) -> OwnedHeaders {
        let mut block = OwnedHeaders::new_with_capacity(self.headers.len() + 1);
        let kept = self.headers.iter().filter(|(name, _)| *name != names::DEADLINE.as_bytes());
        for (name, value) in kept {
            // Names that arrive from the wire are without NUL, which rdkafka refuses. One that is
            // no text was not written by a replier, and is left out.
            if let Some(key) = std::str::from_utf8(name).ok().filter(|key| !key.contains('\0')) {
                block = block.insert(Header { key, value: *value });
            }
        }
        match deadline_ms {
            Some(deadline) => put(block, names::DEADLINE, deadline.to_string().as_bytes()),
            None => block,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::is_added;
    use proptest::prelude::*;
    use rdkafka::message::Headers as _;

    type Wire = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    fn raw(wire: &Wire) -> impl Iterator<Item = RawHeader<'_>> {
        wire.iter().map(|(name, value)| (&name[..], value.as_deref()))
    }

    fn borrowed(block: &OwnedHeaders) -> impl Iterator<Item = RawHeader<'_>> {
        block.iter().map(|header| (header.key.as_bytes(), header.value))
    }

    fn out(status: &Status) -> DeadLetterOut<'_> {
        DeadLetterOut {
            origin: Origin { topic: "quotes".into(), partition: 3, offset: 1 << 40 },
            runs: 7,
            status,
            failed_at: UNIX_EPOCH + Duration::from_millis(1_764_000_000_123),
            group: "pricing",
        }
    }

    #[test]
    fn a_record_that_says_nothing_of_its_origin_is_no_dead_letter() {
        assert_eq!(DeadLetter::read([]), Err(HeaderFault::Missing(names::ORIGIN_TOPIC)));
        let mut wire: Wire = vec![
            (names::ORIGIN_TOPIC.into(), Some(b"quotes".to_vec())),
            (names::ORIGIN_PARTITION.into(), Some(b"-1".to_vec())),
            (names::ORIGIN_OFFSET.into(), Some(b"5".to_vec())),
        ];
        assert!(matches!(DeadLetter::read(raw(&wire)), Err(HeaderFault::Invalid { .. })));
        wire[1].1 = Some(b"1".to_vec());
        let read = DeadLetter::read(raw(&wire)).expect("enough");
        assert_eq!((read.runs, read.code, read.failed_at), (0, Code::Unknown, None));
        assert_eq!((&read.error[..], read.group), ("", None));
    }

    #[test]
    fn names_that_cannot_be_written_are_escaped_and_counted() {
        let wire: Wire = vec![(b"a\xff".to_vec(), Some(b"1".to_vec())), (b"b".to_vec(), None)];
        let status = Status::internal("why");
        let block = out(&status).write(raw(&wire));
        let read = DeadLetter::read(borrowed(&block)).expect("a dead letter");
        assert_eq!(read.escaped, 1);
        assert_eq!(read.headers, [(&b"a\\xff"[..], Some(&b"1"[..])), (b"b", None)]);
    }

    #[test]
    fn a_replay_is_the_same_request_with_another_deadline_or_none() {
        let wire: Wire = vec![
            (names::CORRELATION_ID.into(), Some(vec![0, 255])),
            (names::DEADLINE.into(), Some(b"1".to_vec())),
            (b"tenant".to_vec(), Some(Vec::new())),
        ];
        let status = Status::internal("why");
        let block = out(&status).write(raw(&wire));
        let read = DeadLetter::read(borrowed(&block)).expect("a dead letter");
        let replayed = read.replay(None);
        let kept: Vec<_> = raw(&wire).filter(|(name, _)| *name != b"antiphon-deadline").collect();
        assert_eq!(borrowed(&replayed).collect::<Vec<_>>(), kept);
        let replayed = read.replay(Some(77));
        assert_eq!(borrowed(&replayed).last(), Some((&b"antiphon-deadline"[..], Some(&b"77"[..]))));
    }

    proptest! {
        /// What a replier adds is read back, and the request's own headers are as they were.
        #[test]
        fn survives_the_wire(wire: Wire, message: String, runs: u32) {
            let status = Status::new(Code::Aborted, message);
            let block = DeadLetterOut { runs, ..out(&status) }.write(raw(&wire));
            let read = DeadLetter::read(borrowed(&block)).expect("a dead letter");
            prop_assert_eq!(&read.origin, &out(&status).origin);
            prop_assert_eq!((read.runs, read.code, read.group), (runs, Code::Aborted, Some("pricing")));
            prop_assert_eq!(&read.error, status.message());
            prop_assert_eq!(read.failed_at, Some(out(&status).failed_at));
            let mut escaped = 0;
            let own: Wire = wire
                .into_iter()
                .filter(|(name, _)| !is_added(name))
                .map(|(name, value)| match std::str::from_utf8(&name) {
                    Ok(text) if !text.contains('\0') => (name, value),
                    _ => {
                        escaped += 1;
                        (name.escape_ascii().to_string().into_bytes(), value)
                    }
                })
                .collect();
            prop_assert_eq!(read.escaped, escaped);
            prop_assert_eq!(&read.headers, &raw(&own).collect::<Vec<_>>());
        }

        #[test]
        fn arbitrary_headers_never_panic(wire: Wire, at in 0..4_usize, values: [Vec<u8>; 4]) {
            let mut wire = wire;
            let names = [names::ORIGIN_TOPIC, names::ORIGIN_PARTITION, names::ORIGIN_OFFSET, names::FAILED_AT];
            for (name, value) in names.iter().zip(values).take(at) {
                wire.push((name.as_bytes().to_vec(), Some(value)));
            }
            if let Ok(read) = DeadLetter::read(raw(&wire)) {
                let _ = read.replay(Some(1));
            }
        }
    }
}
