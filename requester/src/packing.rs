//! Requests that are made at once leave in as few records as may be.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use antiphon_common::wire::Pack;

use crate::call::Name;

/// So many requests share a record at most, and so many bytes.
const MOST: usize = 64;
const MOST_BYTES: usize = 16 * 1024;

/// Requests that wait for others to leave with.
#[derive(Debug, Default)]
pub(crate) struct Packing(Mutex<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    topic: Option<Name>,
    pack: Pack,
    count: usize,
}

/// What is to leave now.
#[derive(Debug)]
pub(crate) struct Full {
    pub(crate) topic: Name,
    pub(crate) pack: Pack,
}

/// What has become of a request.
pub(crate) struct Added {
    pub(crate) is_first: bool,
    pub(crate) full: Option<Full>,
}

impl Packing {
    /// Adds a request.
    pub(crate) fn add(&self, topic: &Name, write: impl FnOnce(&mut Pack)) -> Added {
        let mut gathered = self.lock();
        let mut full = None;
        if gathered.topic.as_ref().is_some_and(|other| **other != **topic) {
            full = gathered.take();
        }
        let is_first = gathered.topic.is_none();
        if is_first {
            gathered.topic = Some(topic.clone());
        }
        write(&mut gathered.pack);
        gathered.count += 1;
        if full.is_none() && (gathered.count >= MOST || gathered.pack.bytes().len() >= MOST_BYTES) {
            full = gathered.take();
        }
        Added { is_first, full }
    }

    /// Takes what has been gathered.
    pub(crate) fn take(&self) -> Option<Full> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    fn take(&mut self) -> Option<Full> {
        let topic = self.topic.take()?;
        self.count = 0;
        Some(Full { topic, pack: mem::take(&mut self.pack) })
    }
}
