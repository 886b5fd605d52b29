//! What was promised of each call and each request, and whether it was kept.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_common::{CorrelationId, Outcome};

/// How late a call may end, in milliseconds (G1).
const GRACE: u64 = 100;
/// How long a requester may take to read a reply that is in its partition.
pub(crate) const READ_WITHIN: u64 = 250;

pub(crate) type Checked = Result<(), String>;

/// A call as its caller knows it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) question: u64,
    pub(crate) id: CorrelationId,
    pub(crate) deadline: u64,
    pub(crate) partition: Option<i32>,
    /// When its first reply was in the partition that it named.
    pub(crate) replied: Option<u64>,
    pub(crate) end: Option<End>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With the reply to a question.
    Reply(u64),
    Failed {
        outcome: Outcome,
        timeout: bool,
    },
    /// Nobody waits any more: the caller gave up, or its process is gone.
    Gone,
}

/// All calls, and which requests are in the log.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) calls: Vec<Call>,
    by_id: BTreeMap<[u8; 16], u64>,
    open: BTreeSet<(u64, u64)>,
    sent: BTreeSet<[u8; 16]>,
    not_sent: BTreeSet<[u8; 16]>,
}

impl Ledger {
    pub(crate) fn begin(&mut self, call: Call) -> u64 {
        let number = self.calls.len() as u64;
        self.by_id.insert(call.id.to_bytes(), number);
        self.open.insert((call.deadline, number));
        self.calls.push(call);
        number
    }

    pub(crate) fn of(&self, id: &[u8]) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn call(&mut self, number: u64) -> &mut Call {
        let index = usize::try_from(number).expect("few calls");
        &mut self.calls[index]
    }

    /// A request is in the log.
    pub(crate) fn appended(&mut self, id: [u8; 16]) -> Checked {
        self.sent.insert(id);
        if self.not_sent.contains(&id) {
            return Err(format!("G3: {:?} was not sent, and is in the log", self.of(&id)));
        }
        Ok(())
    }

    /// A reply is in a partition.
    pub(crate) fn answered(&mut self, id: &[u8], partition: i32, now: u64) {
        let Some(number) = self.of(id) else { return };
        let call = self.call(number);
        if call.partition.is_none_or(|named| named == partition) {
            call.replied.get_or_insert(now);
        }
    }

    pub(crate) fn end(&mut self, number: u64, end: End, now: u64) -> Checked {
        let call = self.call(number);
        if let Some(before) = call.end.replace(end) {
            return Err(format!("G1: call {number} ended with {before:?}, and with {end:?}"));
        }
        let (id, deadline, replied) = (call.id.to_bytes(), call.deadline, call.replied);
        let question = call.question;
        self.open.remove(&(deadline, number));
        match end {
            End::Reply(of) if of != question => {
                return Err(format!("G2: call {number} of {question} got the reply to {of}"));
            }
            End::Failed { timeout: true, outcome } => {
                if now < deadline || outcome != Outcome::Unknown {
                    return Err(format!("G1: call {number} timed out early, or as {outcome:?}"));
                }
                if let Some(at) = replied.filter(|at| at + READ_WITHIN < deadline) {
                    let why = format!("its reply was there at {at} ms, and was not read");
                    return Err(format!("G1: call {number} timed out at {now} ms: {why}"));
                }
            }
            End::Failed { outcome: Outcome::NotSent, .. } => {
                self.not_sent.insert(id);
                if self.sent.contains(&id) {
                    return Err(format!("G3: call {number} was not sent, and is in the log"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a call waits longer than it may.
    pub(crate) fn check_open(&self, now: u64) -> Checked {
        match self.open.first() {
            Some((deadline, number)) if deadline + GRACE < now => {
                Err(format!("G1: call {number} waits at {now} ms, past {deadline} ms"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }
}
