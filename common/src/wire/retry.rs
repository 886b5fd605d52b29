//! The headers of a request that waits in a retry topic.

use std::time::{Duration, Instant};

use rdkafka::message::OwnedHeaders;

use super::names;
use super::origin::{Added, Origin, RawHeader, put_request};
use super::request::put;
use crate::deadline::Deadline;

/// What a replier adds to a request that it puts into a retry topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryHeadersOut {
    /// Where the request was first.
    pub origin: Origin,
    /// How often a handler has run for it.
    pub runs: u32,
    /// When it is to be handled again, in Unix milliseconds.
    pub not_before_ms: u64,
}

/// What was added to a request that was read from a retry topic. Anyone who may write to the topic
/// may have written it: what is missing or makes no sense is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryHeaders {
    /// Where the request was first.
    pub origin: Option<Origin>,
    /// How often a handler has run for it.
    pub runs: u32,
    /// When it is to be handled again.
    pub not_before: Instant,
}

impl RetryHeadersOut {
    /// Writes the header block: the request's own headers, and these.
    #[must_use]
    pub fn write<'a>(&self, request: impl IntoIterator<Item = RawHeader<'a>>) -> OwnedHeaders {
        let block = put_request(OwnedHeaders::new(), request);
        let block = self.origin.write(block);
        let block = put(block, names::RUNS, self.runs.to_string().as_bytes());
        put(block, names::NOT_BEFORE, self.not_before_ms.to_string().as_bytes())
    }
}

impl RetryHeaders {
    /// Reads what was added to a record of a topic whose delay is `delay`: no request waits for
    /// longer than that, whatever its header says.
    #[must_use]
    pub fn read<'a>(headers: impl IntoIterator<Item = RawHeader<'a>>, delay: Duration) -> Self {
        let mut added = Added::default();
        for header in headers {
            added.take(header);
        }
        let not_before =
            added.get(names::NOT_BEFORE).and_then(|value| Deadline::from_wire(value, delay));
        Self {
            origin: added.origin(),
            runs: added.number(names::RUNS).unwrap_or_default(),
            not_before: not_before.map_or_else(|| Instant::now() + delay, Deadline::instant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rdkafka::message::Headers as _;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_written_is_read() {
        let origin = Origin { topic: "quotes".into(), partition: 3, offset: 1 << 40 };
        let not_before_ms = Deadline::after(MINUTE / 2).to_unix_millis();
        let out = RetryHeadersOut { origin: origin.clone(), runs: 4, not_before_ms };
        // What the request itself says of this is replaced.
        let forged: RawHeader<'_> = (names::RUNS.as_bytes(), Some(b"99"));
        let block = out.write([(&b"tenant"[..], Some(&b"blue"[..])), forged]);
        let wire = block.iter().map(|header| (header.key.as_bytes(), header.value));
        let read = RetryHeaders::read(wire, MINUTE);
        assert_eq!((read.origin, read.runs), (Some(origin), 4));
        let left = read.not_before.saturating_duration_since(Instant::now());
        assert!(left > MINUTE / 4 && left <= MINUTE / 2 + Duration::from_secs(1), "{left:?}");
        assert_eq!(block.count(), 6);
    }

    proptest! {
        #[test]
        fn nobody_waits_for_longer_than_the_delay(
            value in prop_oneof![any::<Vec<u8>>(), "[0-9]{1,30}".prop_map(String::into_bytes)],
            others: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        ) {
            let other = others.iter().map(|(name, value)| (&name[..], value.as_deref()));
            let wire = other.chain([(names::NOT_BEFORE.as_bytes(), Some(&value[..]))]);
            let read = RetryHeaders::read(wire, MINUTE);
            prop_assert!(read.not_before <= Instant::now() + MINUTE);
        }
    }
}
