//! A reply as it arrived.

use antiphon_common::wire::{Headers, ReplyHeaders};
use antiphon_common::{Codec, CodecError, Request};
use bytes::Bytes;

use crate::received::Received;

/// A good reply.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// The payload; empty if the record has none.
    pub payload: Bytes,
    /// The record's key, which repliers copy from the request.
    pub key: Option<Bytes>,
    /// The headers that are not the protocol's.
    pub headers: Headers,
    /// The partition of the reply topic that it came from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The claim check of a payload that is in a store and has not been taken out.
    pub(crate) claim: Option<Bytes>,
}

impl Reply {
    /// Copies out of a record, whose payload has been copied already.
    pub(crate) fn of(
        record: &Received<'_>,
        headers: &mut ReplyHeaders<'_>,
        payload: Bytes,
    ) -> Self {
        Self {
            payload,
            key: record.key.map(Bytes::copy_from_slice),
            headers: headers.take_application(),
            partition: record.partition,
            offset: record.offset,
            claim: headers.claim().map(Bytes::copy_from_slice),
        }
    }

    /// Reads the payload as the reply to a request of type `R`.
    ///
    /// # Errors
    /// [`CodecError`] if it is not of that form.
    pub fn decode<R: Request>(&self) -> Result<R::Reply, CodecError> {
        <R::Codec as Codec<R::Reply>>::decode(&self.payload)
    }
}
