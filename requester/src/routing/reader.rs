//! The reply reader: one thread that reads the reply topic and completes calls.

use std::sync::Arc;
use std::time::Duration;

use antiphon_common::wire::{Caps, HeaderFault, ReplyHeaders};
use antiphon_common::{Code, CorrelationId, Status};
use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message};

use crate::call::Reply;
use crate::call::{CallErrorKind, Failure};
use crate::routing::ReplyPartitions;
use crate::table::{Calls, Ended, Waiting};

/// How long one poll waits: the bound on how late the thread sees that the requester is closed.
const POLL: Duration = Duration::from_millis(100);
/// How many replies are taken before their callers are woken. Callers that wake together send
/// their next requests together, which makes for fewer produce requests.
const BATCH: usize = 256;

/// Completes calls with the replies that it reads.
pub(crate) struct Reader {
    partitions: ReplyPartitions,
    calls: Arc<Calls>,
}

impl Reader {
    pub(crate) fn new(partitions: ReplyPartitions, calls: Arc<Calls>) -> Self {
        Self { partitions, calls }
    }

    /// Reads until the requester is closed.
    pub(crate) fn run(mut self, stopped: impl Fn() -> bool) {
        let mut batch = Vec::with_capacity(BATCH);
        while !stopped() {
            let mut wait = POLL;
            while batch.len() < BATCH {
                match self.partitions.consumer().poll(wait) {
                    None => break,
                    Some(Ok(record)) => batch.extend(self.take(&record)),
                    Some(Err(error)) => {
                        self.partitions.observer().warn("cannot read replies", &error);
                    }
                }
                wait = Duration::ZERO;
            }
            for (waiting, ended) in batch.drain(..) {
                self.calls.reply(waiting, ended);
            }
            self.partitions.look_for_more();
        }
    }

    /// The call that a record ends, and how; `None` if it ends none.
    fn take(&self, record: &BorrowedMessage<'_>) -> Option<(Waiting, Ended)> {
        let headers = antiphon_native::headers(record)
            .map_err(|_| HeaderFault::Malformed)
            .and_then(|raw| ReplyHeaders::read(raw, Caps::default()));
        let metrics = self.calls.metrics();
        let mut headers = match headers {
            Ok(headers) => headers,
            Err(fault) => {
                metrics.malformed_replies.inc();
                self.partitions.observer().warn("skipped a record in the reply topic", &fault);
                return None;
            }
        };
        let Ok(echoed) = headers.correlation_id() else {
            metrics.malformed_replies.inc();
            return None;
        };
        match CorrelationId::from_bytes(echoed) {
            Some(id) if id.instance() == self.calls.instance() => {
                let waiting = self.calls.answered(id.call())?;
                Some((waiting, ended(record, &mut headers)))
            }
            // Another instance's, or one of another kind of requester in the same topic.
            _ => {
                metrics.foreign_replies.inc();
                None
            }
        }
    }
}

/// Copies out of the record: it belongs to a fetch buffer, which must not outlive this poll.
fn ended(record: &BorrowedMessage<'_>, headers: &mut ReplyHeaders<'_>) -> Ended {
    let payload = record.payload().map_or_else(Bytes::new, Bytes::copy_from_slice);
    match headers.code() {
        Code::Ok => Ok(Reply {
            payload,
            key: record.key().map(Bytes::copy_from_slice),
            headers: headers.take_application(),
            partition: record.partition(),
            offset: record.offset(),
        }),
        code => Err(Failure::executed(CallErrorKind::Status(
            Status::new(code, headers.error_message()).with_details(payload),
        ))),
    }
}
