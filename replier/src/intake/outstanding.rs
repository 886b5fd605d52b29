//! How much is taken in and not complete, over all partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use antiphon_common::metrics::ReplierMetrics;

/// How many requests are taken in and not complete, over all partitions.
#[derive(Debug)]
pub(crate) struct Outstanding {
    count: AtomicUsize,
    /// Of their payloads.
    bytes: AtomicUsize,
    pub(super) metrics: ReplierMetrics,
}

impl Outstanding {
    pub(crate) fn new(metrics: ReplierMetrics) -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), bytes: AtomicUsize::new(0), metrics })
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.metrics.outstanding.inc();
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.metrics.outstanding_bytes.add(gauged(bytes));
    }

    pub(super) fn subtract(&self, requests: usize, bytes: usize) {
        self.count.fetch_sub(requests, Ordering::Relaxed);
        self.metrics.outstanding.sub(gauged(requests));
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.metrics.outstanding_bytes.sub(gauged(bytes));
    }
}

fn gauged(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
