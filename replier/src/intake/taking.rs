//! Takes the requests out of a record: one, as a rule.

use std::cell::LazyCell;
use std::sync::Arc;

use antiphon_common::metrics::ReplierMetrics;
use antiphon_common::wire::Packed;
use antiphon_common::{Clocks, Code, Status};

use crate::intake::assignment::Assignment;
use crate::intake::incoming::{Incoming, RecordReader, Rejected, correlation_id};
use crate::intake::record::{PackedRecord, Record};
use crate::intake::several::Several;
use crate::intake::tracker::{Taken, Tracker};

/// What it takes to do that, for the records of one turn.
pub(super) struct Taking<'a> {
    pub(super) reader: &'a mut RecordReader,
    pub(super) assignment: &'a Assignment,
    pub(super) metrics: &'a ReplierMetrics,
    /// Read with the first record that has a deadline: what is left of a deadline and when it is are by
    /// the same reading, so it matters little that those after it come a moment later.
    pub(super) clocks: LazyCell<Clocks>,
    /// Why requests that share a record are not handled.
    pub(super) refuses_packed: Option<&'static str>,
}

impl Taking<'_> {
    /// Hands out the requests in a record, unless it was taken in before.
    pub(super) fn take(
        &mut self,
        record: &impl Record,
        tracker: &Arc<Tracker>,
        mut put: impl FnMut(Incoming),
    ) {
        let Some(taken) = tracker.take(record.offset()) else { return };
        if !RecordReader::is_packed(record) {
            return self.request(record, tracker, taken).into_iter().for_each(put);
        }
        let shared = Arc::new(Several::new(taken));
        let mut is_kept = false;
        for item in Packed::read(record.payload().unwrap_or_default()) {
            let part = tracker.take_part(record.offset(), &shared);
            let taken = match item {
                Ok(item) => {
                    self.metrics.packed_requests.inc();
                    let taken = self.request(&PackedRecord { record, item }, tracker, part);
                    taken.map(|request| self.checked(request))
                }
                // The whole record is what is kept, and one of its kind is enough.
                Err(fault) if std::mem::replace(&mut is_kept, true) => {
                    self.note(&Rejected::Packed(fault));
                    part.complete();
                    None
                }
                Err(fault) => self.rejected(record, tracker, part, &Rejected::Packed(fault)),
            };
            taken.into_iter().for_each(&mut put);
        }
    }

    fn checked(&self, mut request: Incoming) -> Incoming {
        if let Some(why) = self.refuses_packed {
            let status = Status::new(Code::Unimplemented, why);
            request.context.facts.job.fault = Some(Box::new(status));
        }
        request
    }

    /// The request in a record; `None` if it is none, or not this replier's to answer. A record that
    /// cancels a request of its partition is done here, ahead of all that is queued.
    fn request(
        &mut self,
        record: &impl Record,
        tracker: &Arc<Tracker>,
        mut taken: Taken,
    ) -> Option<Incoming> {
        let read = match self.reader.headers(record, &tracker.topic) {
            Ok(headers) if headers.is_cancel() => {
                match correlation_id(&headers).map(|id| tracker.cancellations.cancel(id)) {
                    Ok(found) => self.metrics.cancellations(found.label()).inc(),
                    // It asks for nothing that could be worth keeping.
                    Err(why) => self.note(&why),
                }
                taken.complete();
                return None;
            }
            Ok(mut headers) => self.reader.read(record, &mut headers, &tracker.topic, &self.clocks),
            Err(why) => Err(why),
        };
        let parsed = match read {
            Ok(parsed) => parsed,
            Err(why) => return self.rejected(record, tracker, taken, &why),
        };
        if parsed.clocks_differ {
            self.metrics.clock_skew.inc();
        }
        taken.weigh(record.payload().map_or(0, <[u8]>::len));
        Some(parsed.taken(taken, &tracker.cancellations))
    }

    /// What cannot even be answered: a dead letter, if such are kept.
    fn rejected(
        &self,
        record: &impl Record,
        tracker: &Arc<Tracker>,
        mut taken: Taken,
        why: &Rejected,
    ) -> Option<Incoming> {
        self.note(why);
        let Some(poison) = self.reader.poison(record, &tracker.topic, why) else {
            taken.complete();
            return None;
        };
        taken.weigh(record.payload().map_or(0, <[u8]>::len));
        Some(poison.taken(taken, &tracker.cancellations))
    }

    fn note(&self, why: &Rejected) {
        self.metrics.rejected(why.reason()).inc();
        self.assignment.observer.warn("rejected a request", why);
    }
}
