//! Replies that share a record, while it is under way.
//!
//! Of each its duty is kept, and no more: the rest is in the record, and is read out of it again if that
//! cannot be delivered. What is kept until an acknowledgement is touched by two threads and is out of their
//! caches by then, so there should be little of it.

use std::sync::Arc;

use antiphon_common::payloads::PayloadId;
use antiphon_common::wire::{Caps, Pack, Packed, PackedItem, ReplyHeaders};
use antiphon_common::{Code, Deadline, Status};
use bytes::Bytes;

use crate::handlers::context::RawReply;
use crate::intake::incoming::{ReplyPlace, ReplyTo};
use crate::sending::duty::Duty;
use crate::sending::outgoing::{Outgoing, Recipient, Reply};

/// This process has written what it reads here.
const OWN: Caps = Caps { count: usize::MAX, bytes: usize::MAX };

/// Where the replies go that share a record, and what is kept of each, in their order.
#[derive(Debug)]
pub(crate) struct PackedReplies {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    kept: Vec<Kept>,
}

/// What is kept of one.
#[derive(Debug)]
enum Kept {
    Duty(Duty, Deadline),
    /// It is sealed or signed, and cannot be read again.
    Whole(Box<Outgoing>),
}

impl PackedReplies {
    /// None yet.
    pub(super) fn new(topic: Arc<str>, partition: i32) -> Self {
        Self { topic, partition, kept: Vec::new() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.kept.reserve(more);
    }

    /// Writes a reply behind the others. It is one that [may share](Outgoing::packs) a record.
    pub(super) fn add(&mut self, outgoing: Box<Outgoing>, pack: &mut Pack) {
        let Some(reply) = &outgoing.reply else { return outgoing.duty.complete() };
        reply.pack_into(pack);
        let kept = if reply.to.reply_to.protection.is_some() {
            Kept::Whole(outgoing)
        } else {
            let deadline = reply.to.deadline;
            Kept::Duty(outgoing.duty, deadline)
        };
        self.kept.push(kept);
    }

    /// The record is acknowledged.
    pub(super) fn complete(self) {
        Duty::complete_all(self.kept.into_iter().map(|kept| match kept {
            Kept::Duty(duty, _) => duty,
            Kept::Whole(outgoing) => outgoing.duty,
        }));
    }

    /// The replies, to be sent each by itself. The record had this payload.
    pub(super) fn split(self, payload: &[u8]) -> impl Iterator<Item = Box<Outgoing>> {
        let Self { topic, partition, kept } = self;
        let place = ReplyPlace::SharedIn(partition);
        // What cannot be read would leave its request incomplete, to be handled again.
        Packed::read(payload).zip(kept).filter_map(move |(item, kept)| match kept {
            Kept::Whole(outgoing) => Some(outgoing),
            Kept::Duty(duty, deadline) => {
                let reply_to = ReplyTo { topic: Arc::clone(&topic), place, protection: None };
                let reply = read(&item.ok()?, reply_to, deadline)?;
                Some(Outgoing::new(Vec::new(), Some(reply), duty))
            }
        })
    }
}

/// A reply as it was before it was written.
fn read(item: &PackedItem<'_>, reply_to: ReplyTo, deadline: Deadline) -> Option<Reply> {
    let mut headers = ReplyHeaders::read(item.headers(), OWN).ok()?;
    let payload = Bytes::copy_from_slice(item.payload.unwrap_or_default());
    let answer = match headers.code() {
        Code::Ok => Ok(RawReply {
            payload,
            content_type: headers
                .content_type()
                .map(|name| String::from_utf8_lossy(name).into_owned().into()),
            claim: headers.claim().and_then(PayloadId::parse),
            headers: headers.take_application(),
        }),
        code => Err(Status::new(code, headers.error_message()).with_details(payload)),
    };
    let correlation_id = headers.correlation_id().ok()?;
    let to = Recipient {
        reply_to,
        correlation_id: correlation_id.into(),
        key: item.key.map(Bytes::copy_from_slice),
        deadline,
    };
    Some(Reply { to, answer, position: headers.position().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sending::outgoing::tests::reply_to;
    use crate::sending::protection::Protection;
    use antiphon_common::wire::StreamPosition;
    use proptest::prelude::*;

    /// A reply and what makes it differ from others.
    type Sort =
        (Option<Vec<u8>>, Vec<u8>, Option<String>, Vec<(String, Vec<u8>)>, Option<u64>, bool, bool);

    fn outgoing(sort: &Sort) -> Box<Outgoing> {
        let (key, payload, content_type, headers, claim, fails, ends) = sort.clone();
        let mut raw = RawReply::new(payload.clone());
        raw.content_type = content_type.map(Into::into);
        headers.into_iter().for_each(|(name, value)| raw.headers.push(name, value));
        raw.claim = claim.and_then(|claim| PayloadId::parse(format!("{claim:032x}").as_bytes()));
        let mut outgoing = reply_to(Some(3), raw);
        let reply = outgoing.reply.as_mut().expect("just made");
        reply.to.key = key.map(Into::into);
        reply.to.correlation_id =
            (&payload.iter().rev().copied().chain([7]).collect::<Vec<_>>()).into();
        if fails {
            let status = Status::new(Code::NotFound, "no such symbol: \u{e9}");
            reply.answer = Err(status.with_details(payload));
        }
        reply.position = ends.then_some(StreamPosition { seq: 5, end: true });
        outgoing
    }

    fn packed(replies: impl IntoIterator<Item = Box<Outgoing>>) -> (PackedReplies, Pack) {
        let (mut shared, mut pack) = (PackedReplies::new("t.replies".into(), 3), Pack::default());
        replies.into_iter().for_each(|reply| shared.add(reply, &mut pack));
        (shared, pack)
    }

    fn sort() -> impl Strategy<Value = Sort> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        let header = ("x-[a-z]{0,5}", bytes());
        (
            prop::option::of(bytes()),
            bytes(),
            prop::option::of("[a-z/]{1,20}"),
            prop::collection::vec(header, 0..3),
            prop::option::of(any::<u64>()),
            any::<bool>(),
            any::<bool>(),
        )
    }

    proptest! {
        /// What is read out of a record would be written as it was, and waits as long.
        #[test]
        fn replies_come_out_of_a_record_as_they_went_in(sorts in prop::collection::vec(sort(), 1..6)) {
            let before: Vec<_> = sorts.iter().map(outgoing).collect();
            let of = |reply: &Outgoing| {
                let reply = reply.reply.as_ref().expect("a reply");
                (reply.to.deadline, reply.can_shrink())
            };
            let known: Vec<_> = before.iter().map(|reply| of(reply)).collect();
            let (shared, pack) = packed(before);
            let after: Vec<_> = shared.split(pack.bytes()).collect();
            prop_assert_eq!(after.iter().map(|reply| of(reply)).collect::<Vec<_>>(), known);
            let (again, written) = packed(after);
            prop_assert_eq!((again.len(), written.bytes()), (sorts.len(), pack.bytes()));
        }
    }

    /// There is one for each reply that is under way.
    #[test]
    fn little_is_kept_of_a_reply() {
        let (kept, whole) = (size_of::<Kept>(), size_of::<Outgoing>());
        assert!(kept <= 80 && whole >= 4 * kept, "{kept} and {whole} bytes");
    }

    #[test]
    fn what_is_protected_is_kept_as_it_is() {
        let mut reply = reply_to(Some(3), RawReply::new("secret"));
        let to = &mut reply.reply.as_mut().expect("just made").to.reply_to;
        to.protection = Some(Arc::new(Protection::default()));
        let address = std::ptr::from_ref(&*reply);
        let (shared, pack) = packed([reply]);
        let after: Vec<_> = shared.split(pack.bytes()).collect();
        assert!(after.iter().all(|reply| std::ptr::eq(&**reply, address)) && after.len() == 1);
    }

    #[test]
    fn all_are_complete_with_the_record_and_none_of_what_cannot_be_read() {
        let two = || ["1", "2"].map(|payload| reply_to(Some(3), RawReply::new(payload)));
        let trackers = |replies: &[Box<Outgoing>; 2]| {
            replies.each_ref().map(|reply| Arc::clone(reply.duty.tracker()))
        };
        let replies = two();
        let done = trackers(&replies);
        packed(replies).0.complete();
        assert!(done.iter().all(|tracker| tracker.taken() == 0 && tracker.take_risen().is_some()));

        let replies = two();
        let left = trackers(&replies);
        assert_eq!(packed(replies).0.split(b"").count(), 0);
        assert!(left.iter().all(|tracker| tracker.taken() == 0 && tracker.take_risen().is_none()));
    }
}
