//! Requests that are made at about the same time leave in as few records as may be.
//!
//! They are gathered until the runtime that makes them has nothing else to do. That is the end of a burst,
//! as when a batch of replies has woken those who ask again; a clock would be coarser.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use antiphon_common::wire::{MAX_PACK_BYTES, Pack};

use crate::call::Name;

/// Requests that have waited for so long are sent by whoever sees it: their runtime is busy.
const LATE: Duration = Duration::from_millis(1);

/// Requests that wait for others to leave with.
#[derive(Debug, Default)]
pub(crate) struct Packing {
    gathered: Mutex<Gathered>,
    /// There are some; so that whoever looks for late ones need not wait for those who add.
    waits: AtomicBool,
}

#[derive(Debug, Default)]
struct Gathered {
    /// Where they go, and since when the first one waits.
    first: Option<(Name, Instant)>,
    pack: Pack,
    count: usize,
}

/// Requests that are to leave in one record.
#[derive(Debug)]
pub(crate) struct Together {
    pub(crate) topic: Name,
    pub(crate) pack: Pack,
    pub(crate) count: usize,
}

/// What is to be done when a request was added.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// Nobody has been asked yet to send it.
    pub(crate) is_first: bool,
    /// These are to be sent.
    pub(crate) full: Option<Together>,
}

impl Packing {
    /// Adds a request to `topic`; `most` share a record.
    pub(crate) fn add(
        &self,
        topic: &Name,
        now: Instant,
        most: usize,
        write: impl FnOnce(&mut Pack),
    ) -> Added {
        let mut gathered = self.lock();
        let mut added = Added::default();
        if gathered.first.as_ref().is_some_and(|(other, _)| **other != **topic) {
            added.full = gathered.take();
        }
        if gathered.first.is_none() {
            gathered.first = Some((topic.clone(), now));
            added.is_first = true;
        }
        write(&mut gathered.pack);
        gathered.count += 1;
        if added.full.is_none() && gathered.is_full(most, now) {
            added = Added { is_first: false, full: gathered.take() };
        }
        self.waits.store(gathered.first.is_some(), Ordering::Relaxed);
        added
    }

    /// Takes what has been gathered.
    pub(crate) fn take(&self) -> Option<Together> {
        self.waits.store(false, Ordering::Relaxed);
        self.lock().take()
    }

    /// The same, if it has waited for long.
    pub(crate) fn take_late(&self) -> Option<Together> {
        if !self.waits.load(Ordering::Relaxed) {
            return None;
        }
        let mut gathered = self.lock();
        gathered.is_late(Instant::now()).then(|| gathered.take()).flatten()
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn is_full(&self, most: usize, now: Instant) -> bool {
        self.count >= most || self.pack.bytes().len() >= MAX_PACK_BYTES || self.is_late(now)
    }

    fn is_late(&self, now: Instant) -> bool {
        self.first.as_ref().is_some_and(|(_, since)| now.saturating_duration_since(*since) >= LATE)
    }

    fn take(&mut self) -> Option<Together> {
        let (topic, _) = self.first.take()?;
        Some(Together { topic, pack: mem::take(&mut self.pack), count: mem::take(&mut self.count) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::message::OwnedHeaders;

    const MOST: usize = 64;

    fn add(packing: &Packing, topic: &str, now: Instant, payload: &[u8]) -> Added {
        let headers = OwnedHeaders::new();
        packing.add(&Name::from(topic.to_owned()), now, MOST, |pack| {
            pack.push_written(&headers, None, Some(payload));
        })
    }

    fn count(together: Option<Together>) -> usize {
        together.map_or(0, |together| together.count)
    }

    #[test]
    fn the_first_of_them_is_told_and_all_leave_together() {
        let (packing, now) = (Packing::default(), Instant::now());
        assert!(packing.take().is_none());
        let first: Vec<bool> = (0..3).map(|_| add(&packing, "t", now, b"1").is_first).collect();
        assert_eq!(first, [true, false, false]);
        let together = packing.take().expect("three");
        assert_eq!((&*together.topic, together.count), ("t", 3));
        assert!(packing.take().is_none());
        assert!(add(&packing, "t", now, b"1").is_first);
    }

    #[test]
    fn they_leave_when_they_are_many_or_large() {
        let (packing, now) = (Packing::default(), Instant::now());
        for payload in [&b"1"[..], &[7; MAX_PACK_BYTES / 8]] {
            let mut added = 0;
            let full = loop {
                added += 1;
                if let Some(full) = add(&packing, "t", now, payload).full {
                    break full;
                }
            };
            assert_eq!(added, full.count);
            assert!(full.count == MOST || full.pack.bytes().len() >= MAX_PACK_BYTES);
            assert!(packing.take().is_none());
        }
    }

    #[test]
    fn those_for_another_topic_leave_without_it() {
        let (packing, now) = (Packing::default(), Instant::now());
        add(&packing, "t", now, b"1");
        let added = add(&packing, "other", now, b"1");
        assert!(added.is_first);
        assert_eq!(added.full.map(|full| full.topic.to_string()), Some("t".into()));
        assert_eq!(count(packing.take()), 1);
    }

    #[test]
    fn none_waits_for_long_if_anybody_looks() {
        let (packing, now) = (Packing::default(), Instant::now());
        add(&packing, "t", now, b"1");
        assert_eq!(count(add(&packing, "t", now + LATE, b"1").full), 2);
        let long_ago = now.checked_sub(LATE).expect("the clock runs");
        add(&packing, "t", long_ago, b"1");
        assert_eq!(count(packing.take_late()), 1);
        assert!(packing.take_late().is_none());
    }
}
