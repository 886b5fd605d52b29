//! What the consumers of this process have received, as librdkafka counts it: every byte that came
//! by their connections, empty fetches and all.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::{Layer, Registry, fmt};

/// The property that makes clients tell.
pub(crate) const INTERVAL: &str = "statistics.interval.ms";
/// Where Antiphon logs what they tell.
const TARGET: &str = "antiphon::statistics";

/// What clients told, from the first to the last time since it was last forgotten.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received(Arc<Mutex<BTreeMap<String, Span>>>);

/// What one client told first and last.
#[derive(Debug, Clone)]
struct Span {
    first: Told,
    last: Told,
}

/// The statistics of a consumer, as far as they matter here (librdkafka's STATISTICS.md).
#[derive(Debug, Clone, Deserialize)]
struct Told {
    name: String,
    /// Microseconds on a clock of the process.
    ts: u64,
    /// Responses and bytes from all brokers, and records among them, with the bytes of their keys
    /// and values.
    rx: u64,
    rx_bytes: u64,
    rxmsgs: u64,
    rxmsg_bytes: u64,
    cgrp: Option<Group>,
}

#[derive(Debug, Clone, Deserialize)]
struct Group {
    rebalance_cnt: u64,
}

/// What clients receive in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) clients: usize,
    pub(crate) bytes: f64,
    pub(crate) responses: f64,
    pub(crate) records: f64,
    pub(crate) record_bytes: f64,
}

impl Received {
    /// Listens to the clients of this process.
    pub(crate) fn layer(&self) -> impl Layer<Registry> + use<> {
        let bare = Format::default().without_time().with_level(false).with_target(false);
        fmt::layer()
            .with_ansi(false)
            .event_format(bare)
            .with_writer(self.clone())
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::DEBUG))
    }

    /// Begins anew.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    /// What reply readers received, and what the members of lease groups did.
    pub(crate) fn rates(&self) -> (Rates, Rates) {
        let (mut readers, mut members) = (Rates::default(), Rates::default());
        for span in self.lock().values() {
            // A reader assigns its partitions itself, so its group never rebalances.
            let is_member = span.last.cgrp.as_ref().is_some_and(|group| group.rebalance_cnt > 0);
            if is_member { members.add(span) } else { readers.add(span) }
        }
        (readers, members)
    }

    fn note(&self, line: &[u8]) -> io::Result<()> {
        let told: Told = serde_json::from_slice(line)?;
        let mut all = self.lock();
        let span = all.entry(told.name.clone());
        span.and_modify(|span| span.last = told.clone())
            .or_insert_with(|| Span { first: told.clone(), last: told });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Span>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of the log.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    received: &'a Received,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Received {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { received: self, bytes: Vec::new() }
    }
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.received.note(&self.bytes) {
            eprintln!("statistics of a client cannot be read: {error}");
        }
    }
}

impl Rates {
    #[expect(clippy::cast_precision_loss, reason = "a run receives far less than 2^52 bytes")]
    fn add(&mut self, Span { first, last }: &Span) {
        self.clients += 1;
        let seconds = last.ts.saturating_sub(first.ts) as f64 / 1e6;
        if seconds > 0.0 {
            let rate = |first: u64, last: u64| last.saturating_sub(first) as f64 / seconds;
            self.bytes += rate(first.rx_bytes, last.rx_bytes);
            self.responses += rate(first.rx, last.rx);
            self.records += rate(first.rxmsgs, last.rxmsgs);
            self.record_bytes += rate(first.rxmsg_bytes, last.rxmsg_bytes);
        }
    }
}
