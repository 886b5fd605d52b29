//! Which call a record in the reply topic is for, and how it ends it. No consumer and no clock.

use antiphon_common::payloads::PayloadStoreError;
use antiphon_common::wire::ReplyHeaders;
use antiphon_common::{Code, CorrelationId, Status};

use crate::call::{CallErrorKind, Failure, Reply};
use crate::guard::ReplyGuard;
use crate::received::Received;
use crate::table::{Answered, Calls, Ended, Moment, Piece};

/// A reply and the call that it is for.
pub(crate) struct Delivery {
    call: u64,
    to: Answered,
    piece: Piece,
}

impl Delivery {
    /// The call that a record is for, and what it says; `None`, and counted, if it is for none.
    ///
    /// `redeems` says whether calls take large payloads out of a store, `guard` which replies to this
    /// instance are believed, and what is in them.
    pub(crate) fn of(
        calls: &Calls,
        record: &Received<'_>,
        headers: &mut ReplyHeaders<'_>,
        redeems: bool,
        guard: &ReplyGuard,
    ) -> Option<Self> {
        let metrics = calls.metrics();
        let (Ok(echoed), Ok(position)) = (headers.correlation_id(), headers.position()) else {
            metrics.malformed_replies.inc();
            return None;
        };
        match CorrelationId::from_bytes(echoed) {
            Some(id) if id.instance() == calls.instance() => {
                if !guard.admits(record, headers) {
                    return None;
                }
                let call = id.call();
                let to = calls.answered(call)?;
                let ended = ended(record, headers, guard, redeems, &to);
                Some(Self { call, to, piece: Piece { position, ended } })
            }
            // Another instance's, or one of another kind of requester in the same topic.
            _ => {
                metrics.foreign_replies.inc();
                None
            }
        }
    }

    /// Tells the call.
    pub(crate) fn deliver(self, calls: &Calls, now: Moment) {
        let Self { call, to, piece } = self;
        match to {
            Answered::Once(waiting) => calls.reply(call, waiting, one(piece), now),
            Answered::Several(pieces) => {
                if pieces.sender.try_send(piece).is_err() && !pieces.sender.is_closed() {
                    calls.overflow(call, pieces.sender.max_capacity(), &pieces.topic);
                }
            }
        }
    }
}

/// The answer of a call that takes one reply. The end of a stream that had no items is none.
fn one(piece: Piece) -> Box<Ended> {
    match piece.position {
        Some(position) if position.end && piece.ended.is_ok() => failed(CallErrorKind::EmptyStream),
        _ => piece.ended,
    }
}

/// Copies out of the record: it belongs to a fetch buffer, which must not outlive this poll. In a
/// box, as whoever waits is told.
fn ended(
    record: &Received<'_>,
    headers: &mut ReplyHeaders<'_>,
    guard: &ReplyGuard,
    redeems: bool,
    to: &Answered,
) -> Box<Ended> {
    let payload = match guard.open(record, headers) {
        Ok(payload) => payload,
        Err(fault) => return failed(CallErrorKind::Sealed(fault)),
    };
    let code = headers.code();
    if code != Code::Ok {
        let status = Status::new(code, headers.error_message()).with_details(payload);
        return failed(CallErrorKind::Status(status));
    }
    // A reply whose payload is in a store is of use only to a call that takes it out.
    let redeemed = redeems && matches!(to, Answered::Once(_));
    if headers.claim().is_some() && !redeemed {
        return failed(CallErrorKind::LargePayload(PayloadStoreError::NoStore));
    }
    Box::new(Ok(Reply::of(record, headers, payload)))
}

fn failed(why: CallErrorKind) -> Box<Ended> {
    Box::new(Err(Failure::executed(why)))
}
