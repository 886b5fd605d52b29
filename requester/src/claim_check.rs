//! Payloads that are too large for a record: kept in a store before the request is sent, and taken
//! from it when the reply has come.

use antiphon_common::Deadline;
use antiphon_common::payloads::{LargePayloads, PayloadStoreError};
use bytes::Bytes;

use crate::call::{CallErrorKind, Failure, Prepared, Reply};
use crate::table::Ended;

/// Moves a large payload into the store. Nothing has been sent if that fails.
pub(crate) async fn check_in(
    large: &LargePayloads,
    prepared: &mut Prepared,
    deadline: Deadline,
) -> Result<(), Failure> {
    if !large.is_large(prepared.payload.len()) {
        return Ok(());
    }
    let payload = Bytes::clone(&prepared.payload);
    let kept = large.check_in(payload, deadline).await;
    let id = kept.map_err(|error| Failure::not_sent(CallErrorKind::LargePayload(error)))?;
    (prepared.claim, prepared.payload) = (Some(id), Bytes::new());
    Ok(())
}

/// Takes the payload of a reply out of the store, if it is there. The request was executed, whatever
/// comes of that.
pub(crate) async fn redeem(
    large: Option<&LargePayloads>,
    mut reply: Reply,
    deadline: Deadline,
) -> Ended {
    let failed = |error| Failure::executed(CallErrorKind::LargePayload(error));
    if let Some(claim) = reply.claim.take() {
        let large = large.ok_or(PayloadStoreError::NoStore).map_err(failed)?;
        reply.payload = large.redeem(&claim, deadline).await.map_err(failed)?;
    }
    Ok(reply)
}
