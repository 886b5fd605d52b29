//! A reply in bytes: as the window keeps it, and as the changelog topic has it.

use antiphon_common::payloads::PayloadId;
use antiphon_common::wire::Headers;
use antiphon_common::{Code, Status};
use bytes::{Buf, BufMut, Bytes};

use crate::dedupe::window::Kept;
use crate::handlers::context::RawReply;

/// The version of the layout, the first byte.
const VERSION: u8 = 1;
/// What follows it, the second byte.
const CLAIM: u8 = 0;
const REPLY: u8 = 1;
const STATUS: u8 = 2;
/// Set beside a reply whose payload is in a store.
const CLAIMED: u8 = 2;

/// No reply has more headers than this; what claims to is not one of ours.
const MAX_HEADERS: usize = 1_024;

/// Puts an answer into bytes; `None` if it cannot be kept.
pub(crate) fn encode(answer: Result<&RawReply, &Status>) -> Option<Bytes> {
    let mut bytes = vec![VERSION];
    match answer {
        Ok(reply) => {
            if reply.headers.len() > MAX_HEADERS {
                return None;
            }
            bytes.put_u8(REPLY);
            let claimed = if reply.claim.is_some() { CLAIMED } else { 0 };
            bytes.put_u8(u8::from(reply.content_type.is_some()) | claimed);
            put(&mut bytes, reply.content_type.as_deref().unwrap_or_default().as_bytes())?;
            // Of a payload in a store its claim check is kept.
            match reply.claim {
                Some(claim) => put(&mut bytes, claim.to_string().as_bytes())?,
                None => put(&mut bytes, &reply.payload)?,
            }
            bytes.put_u32(u32::try_from(reply.headers.len()).ok()?);
            for (name, value) in reply.headers.iter() {
                put(&mut bytes, name)?;
                put(&mut bytes, value)?;
            }
        }
        Err(status) => {
            bytes.put_u8(STATUS);
            put(&mut bytes, status.code().name().as_bytes())?;
            put(&mut bytes, status.message().as_bytes())?;
            put(&mut bytes, status.details())?;
        }
    }
    Some(bytes.into())
}

/// The answer in these bytes; `None` if they are not what [`encode`] makes.
pub(crate) fn decode(mut bytes: Bytes) -> Option<Result<RawReply, Status>> {
    if bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    let answer = match bytes.try_get_u8().ok()? {
        REPLY => {
            let flags = bytes.try_get_u8().ok()?;
            let (named, claimed) = (flags & !CLAIMED, flags & CLAIMED != 0);
            let content_type = text(take(&mut bytes)?)?;
            let mut payload = take(&mut bytes)?;
            let mut claim = None;
            if claimed {
                claim = Some(PayloadId::parse(&std::mem::take(&mut payload))?);
            }
            let count = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
            if named > 1 || count > MAX_HEADERS || (named == 0 && !content_type.is_empty()) {
                return None;
            }
            let mut headers = Headers::new();
            for _ in 0..count {
                headers.push(take(&mut bytes)?, take(&mut bytes)?);
            }
            let content_type = (named == 1).then(|| content_type.into());
            Ok(RawReply { payload, content_type, headers, claim })
        }
        STATUS => {
            let code = take(&mut bytes)?;
            let code = Code::ALL.into_iter().find(|known| code == known.name())?;
            let message = text(take(&mut bytes)?)?;
            Err(Status::new(code, message).with_details(take(&mut bytes)?))
        }
        _ => return None,
    };
    bytes.is_empty().then_some(answer)
}

/// What a record of the changelog says is kept. Whatever it is that this version cannot read, the
/// request has been here: so it is not run again.
pub(crate) fn read(value: &[u8]) -> Kept {
    let reply = Bytes::copy_from_slice(value);
    if decode(reply.clone()).is_some() { Kept::Reply(reply) } else { Kept::Claim }
}

/// The value of a changelog record.
pub(crate) fn written(kept: &Kept) -> Bytes {
    match kept {
        Kept::Reply(reply) => reply.clone(),
        Kept::Claim => Bytes::from_static(&[VERSION, CLAIM]),
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    bytes.put_u32(u32::try_from(part.len()).ok()?);
    bytes.extend_from_slice(part);
    Some(())
}

fn take(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

fn text(bytes: Bytes) -> Option<String> {
    String::from_utf8(bytes.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply() -> impl Strategy<Value = RawReply> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        let headers = prop::collection::vec((bytes(), bytes()), 0..4);
        let parts = (bytes(), prop::option::of(".{0,8}"), headers, any::<bool>());
        parts.prop_map(|(payload, content_type, list, in_store)| {
            let mut headers = Headers::new();
            list.into_iter().for_each(|(name, value)| headers.push(name, value));
            RawReply {
                payload: if in_store { Bytes::new() } else { payload.into() },
                content_type: content_type.map(Into::into),
                headers,
                claim: in_store.then(PayloadId::random),
            }
        })
    }

    fn status() -> impl Strategy<Value = Status> {
        let details = prop::collection::vec(any::<u8>(), 0..20);
        (prop::sample::select(&Code::ALL[1..]), ".{0,40}", details)
            .prop_map(|(code, message, details)| Status::new(code, message).with_details(details))
    }

    fn assert_same(one: &Result<RawReply, Status>, other: &Result<RawReply, Status>) {
        match (one, other) {
            (Ok(one), Ok(other)) => {
                assert_eq!(one.payload, other.payload);
                assert_eq!(one.content_type, other.content_type);
                assert_eq!(one.headers, other.headers);
                assert_eq!(one.claim, other.claim);
            }
            (one, other) => assert_eq!(one.as_ref().err(), other.as_ref().err()),
        }
    }

    proptest! {
        /// What goes in comes out; what is cut short or goes on is nothing.
        #[test]
        fn answers_and_back(answer in prop_oneof![reply().prop_map(Ok), status().prop_map(Err)]) {
            let bytes = encode(answer.as_ref()).expect("small enough");
            assert_same(&decode(bytes.clone()).expect("ours"), &answer);
            for end in 0..bytes.len() {
                prop_assert!(decode(bytes.slice(..end)).is_none(), "cut at {}", end);
            }
            let longer = [&bytes[..], &[0]].concat();
            prop_assert_eq!(read(&longer), Kept::Claim);
        }

        #[test]
        fn whatever_the_bytes_nothing_breaks(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut near = vec![VERSION, REPLY];
            near.extend(&bytes);
            for bytes in [bytes, near] {
                let known = decode(bytes.clone().into()).is_some();
                prop_assert_eq!(matches!(read(&bytes), Kept::Reply(_)), known);
            }
        }
    }

    #[test]
    fn a_claim_is_one_and_so_is_what_a_later_version_wrote() {
        assert_eq!(read(&written(&Kept::Claim)), Kept::Claim);
        assert_eq!(read(&[VERSION + 1, REPLY, 0]), Kept::Claim);
        let kept = Kept::Reply(encode(Ok(&RawReply::new("r"))).expect("small enough"));
        assert_eq!(read(&written(&kept)), kept);
    }
}
