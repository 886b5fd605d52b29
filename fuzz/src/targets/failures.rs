//! The headers of records in retry and dead-letter topics, to which others may write too.

use std::time::{Duration, Instant};

use antiphon_common::Status;
use antiphon_common::wire::{DeadLetter, RetryHeaders};
use rdkafka::message::Headers as _;

use crate::pieces::{Pieces, raw};

/// No wait is longer than that of the topic, and no name longer than a topic's.
pub(crate) fn retry(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let delay = Duration::from_millis(pieces.number() >> 30);
    let headers = pieces.headers();
    let read = RetryHeaders::read(raw(&headers), delay);
    assert!(read.not_before <= Instant::now() + delay);
    if let Some(origin) = read.origin {
        assert!((1..=249).contains(&origin.topic.len()));
        assert!(origin.partition >= 0 && origin.offset >= 0);
    }
}

/// A replay has the headers of the request, and no others.
pub(crate) fn dead_letter(data: &[u8]) {
    let headers = Pieces::of(data).headers();
    let Ok(letter) = DeadLetter::read(raw(&headers)) else { return };
    assert!(letter.error.len() <= 3 * Status::MAX_MESSAGE, "three bytes for each that is replaced");
    let replayed = letter.replay(Some(u64::MAX));
    assert!(replayed.count() <= headers.len());
    for header in replayed.iter() {
        assert!(!header.key.starts_with("antiphon-origin"), "{}", header.key);
    }
    let _ = letter.replay(None);
}
