//! What becomes of a request whose record was refused.

use antiphon_common::kafka::Observer;
use antiphon_common::metrics::ReplierMetrics;
use rdkafka::error::RDKafkaErrorCode;

use crate::sending::outgoing::{Lookup, Outgoing, Remedy};

/// What is to be done with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its record was well; it goes into the next transaction as it is.
    Same,
    /// It is not what it was, so the next transaction may well succeed.
    Changed,
    /// It waits, and blocks its partition, while all others go on.
    Aside,
}

/// Gives up replies, and says so.
pub(super) struct Blame<'a> {
    pub(super) observer: &'a Observer,
    pub(super) metrics: &'a ReplierMetrics,
}

impl Blame<'_> {
    /// A record of this request was refused.
    pub(super) fn refused(
        &self,
        outgoing: &mut Outgoing,
        is_reply: bool,
        code: Option<RDKafkaErrorCode>,
    ) -> Fate {
        let remedy = Remedy::of(code);
        if remedy == Remedy::Leave {
            // It was well: another one was not, and all that were on their way were taken back.
            return Fate::Same;
        }
        let Some(reply) = outgoing.reply.as_ref().filter(|_| is_reply) else {
            return match (is_reply, remedy) {
                (false, Remedy::Resend) => Fate::Same,
                (false, _) => self.aside(outgoing, code),
                (true, _) => Fate::Same,
            };
        };
        match remedy {
            Remedy::ReplyTooLarge if reply.can_shrink() => {
                outgoing.too_large("the broker or the producer does not take a reply of this size");
                Fate::Changed
            }
            Remedy::LookUp if outgoing.lookup == Lookup::NotNeeded => {
                outgoing.lookup = Lookup::Wanted;
                Fate::Changed
            }
            Remedy::Resend if reply.is_wanted() => Fate::Same,
            _ => self.give_up(outgoing, code),
        }
    }

    /// A record of this request was refused, and nobody says which.
    pub(super) fn one_refused(
        &self,
        outgoing: &mut Outgoing,
        code: Option<RDKafkaErrorCode>,
    ) -> Fate {
        if outgoing.before.is_empty() {
            return self.refused(outgoing, true, code);
        }
        // It may be the reply after all, which is given up when nobody waits for it any more.
        if outgoing.reply.as_ref().is_some_and(|reply| !reply.is_wanted()) {
            return self.give_up(outgoing, code);
        }
        self.aside(outgoing, code)
    }

    /// The reply can never be delivered; the rest of the request goes on.
    pub(super) fn give_up(&self, outgoing: &mut Outgoing, code: Option<RDKafkaErrorCode>) -> Fate {
        self.metrics.reply_failures.inc();
        if let Some(reply) = outgoing.reply.take() {
            let topic = &reply.to.reply_to.topic;
            let what = format!("a reply to the topic `{topic}` could not be delivered");
            self.observer.warn(&what, &Code(code));
        }
        // What would follow in the same stream has no better prospects.
        outgoing.duty.halt();
        Fate::Changed
    }

    /// Without this record the request may not be complete.
    pub(super) fn aside(&self, outgoing: &mut Outgoing, code: Option<RDKafkaErrorCode>) -> Fate {
        self.observer.warn("a record that must be written before a reply was not", &Code(code));
        outgoing.duty.block();
        Fate::Aside
    }
}

struct Code(Option<RDKafkaErrorCode>);

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(code) => write!(f, "{code}"),
            None => f.write_str("it was not taken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::context::RawReply;
    use crate::intake::incoming::{ReplyPlace, ReplyTo};
    use crate::intake::outstanding::Outstanding;
    use crate::intake::tracker::Tracker;
    use crate::sending::duty::Duty;
    use crate::sending::outgoing::{Forward, Recipient, Reply};
    use RDKafkaErrorCode as E;
    use antiphon_common::Deadline;
    use rdkafka::message::OwnedHeaders;
    use std::time::Duration;

    fn outgoing(wanted: bool, before: bool) -> Box<Outgoing> {
        let tracker = Tracker::new("t".into(), 0, Outstanding::new(ReplierMetrics::new()));
        let for_so_long = Duration::from_secs(if wanted { 60 } else { 0 });
        let to = Recipient {
            reply_to: ReplyTo {
                topic: "t.replies".into(),
                place: ReplyPlace::Any,
                protection: None,
            },
            correlation_id: "id".into(),
            key: None,
            deadline: Deadline::after(for_so_long),
        };
        let reply = Reply { to, answer: Ok(RawReply::new("12345")), position: None };
        let mut outgoing =
            Outgoing::new(Vec::new(), Some(reply), Duty::Whole(tracker.take(0).expect("new")));
        outgoing.before.extend(before.then(|| Forward {
            topic: "t.dlq".into(),
            partition: None,
            key: None,
            payload: None,
            headers: OwnedHeaders::new(),
        }));
        outgoing
    }

    /// Each case: is it the reply, is it wanted, the code; the fate, whether a reply is left, and
    /// how many were given up.
    #[test]
    fn the_fate_of_a_request_by_what_was_refused() {
        for (is_reply, wanted, code, fate, left, given_up) in [
            (true, true, E::PurgeQueue, Fate::Same, true, 0),
            (true, true, E::MessageTimedOut, Fate::Same, true, 0),
            (true, false, E::MessageTimedOut, Fate::Changed, false, 1),
            (true, true, E::MessageSizeTooLarge, Fate::Changed, true, 0),
            (true, true, E::UnknownPartition, Fate::Changed, true, 0),
            (true, true, E::UnknownTopic, Fate::Changed, false, 1),
            (true, true, E::TopicAuthorizationFailed, Fate::Changed, false, 1),
            (false, true, E::MessageTimedOut, Fate::Same, true, 0),
            (false, true, E::PurgeInflight, Fate::Same, true, 0),
            (false, true, E::MessageSizeTooLarge, Fate::Aside, true, 0),
            (false, true, E::TopicAuthorizationFailed, Fate::Aside, true, 0),
        ] {
            let (observer, metrics) = (Observer::default(), ReplierMetrics::new());
            let blame = Blame { observer: &observer, metrics: &metrics };
            let mut outgoing = outgoing(wanted, !is_reply);
            let what = format!("{code:?}, reply: {is_reply}");
            assert_eq!(blame.refused(&mut outgoing, is_reply, Some(code)), fate, "{what}");
            assert_eq!(outgoing.reply.is_some(), left, "{what}");
            assert_eq!(metrics.reply_failures.get(), given_up, "{what}");
        }
    }

    #[test]
    fn what_comes_before_is_never_given_up_even_if_nobody_says_what_was_refused() {
        let (observer, metrics) = (Observer::default(), ReplierMetrics::new());
        let blame = Blame { observer: &observer, metrics: &metrics };
        let code = Some(E::TopicAuthorizationFailed);
        let mut alone = outgoing(true, false);
        assert_eq!(blame.one_refused(&mut alone, code), Fate::Changed);
        assert!(alone.reply.is_none());
        let mut both = outgoing(true, true);
        assert_eq!(blame.one_refused(&mut both, code), Fate::Aside);
        assert!(both.reply.is_some());
        let mut late = outgoing(false, true);
        assert_eq!(blame.one_refused(&mut late, code), Fate::Changed);
        assert!(late.reply.is_none() && late.before.len() == 1);
        assert_eq!(blame.one_refused(&mut late, code), Fate::Aside);
    }
}
