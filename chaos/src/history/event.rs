//! One thing that happened, as a line of JSON.

use serde::{Deserialize, Serialize};

use super::Id;

/// Something that happened, where and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds of `CLOCK_MONOTONIC`; see [`now_us`](super::now_us).
    pub at_us: u64,
    /// The process that wrote it. A process that is started again has a new name.
    pub process: String,
    /// What happened.
    pub event: Kind,
}

/// What can happen. Times are microseconds of `CLOCK_MONOTONIC`.
///
/// What a process is about to do is written before it does it; what it has learnt is written when
/// it has learnt it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    // A requester.
    /// A call is about to be made. Each payload must be another, or answers cannot be told apart.
    Invoke {
        /// The call.
        id: Id,
        /// When it must have ended.
        deadline_us: u64,
        /// The hash of the answer that belongs to it. A handler that echoes has the payload's.
        payload_hash: u64,
    },
    /// The broker has acknowledged the request.
    Acked {
        /// The call.
        id: Id,
        /// The request topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Where the request lies.
        offset: i64,
        /// Its place among the requests that share the record, from 0 on.
        #[serde(default, skip_serializing_if = "is_first")]
        item: u32,
    },
    /// The call has ended with a reply.
    Ok {
        /// The call.
        id: Id,
        /// The hash of the reply's payload.
        payload_hash: u64,
    },
    /// The call has ended with an error.
    Err {
        /// The call.
        id: Id,
        /// What the error says of the request.
        class: Class,
        /// The kind of the error, such as `timeout` or a status' name.
        code: String,
        /// The error in words.
        text: String,
    },

    // A replier.
    /// A partition of the request topic was assigned to this process.
    Assigned {
        /// The request topic.
        topic: String,
        /// Its partition.
        partition: i32,
    },
    /// This process has given a partition up. A commit of its own that the handing over allows comes
    /// before this; when the brokers take it is another matter.
    Revoked {
        /// The request topic.
        topic: String,
        /// Its partition.
        partition: i32,
    },
    /// This process has learnt that a partition was taken from it: another may have it already.
    Lost {
        /// The request topic.
        topic: String,
        /// Its partition.
        partition: i32,
    },
    /// This process was told that the brokers have taken its commit. When they did, an auditor's
    /// looks at the committed offset tell.
    CommitTold {
        /// The request topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The next offset to be read.
        offset: i64,
    },
    /// A handler is about to begin with a request.
    HandlerStart {
        /// The call.
        id: Id,
        /// Counts from 1.
        attempt: u32,
        /// The deadline as the handler was given it.
        deadline_us: Option<u64>,
        /// Where the request was read.
        topic: String,
        /// Its partition.
        partition: i32,
        /// Where it lies.
        offset: i64,
        /// The hash of the record's key, where order by key is to be checked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<u64>,
    },
    /// A handler is about to do its work, which is done from here on.
    Effect {
        /// The call.
        id: Id,
    },
    /// A reply is in a reply topic. Written by the replier on its acknowledgement, or by an auditor
    /// that reads the reply topics (committed records only).
    ReplyAcked {
        /// The call.
        id: Id,
        /// Where the reply lies.
        topic: String,
        /// Its partition.
        partition: i32,
    },
    /// The request was brought to an end without a handler that answers it.
    Ended {
        /// The call.
        id: Id,
        /// How.
        how: End,
    },
    /// The group's offset was committed. An auditor that asks for committed offsets writes this
    /// after it has read each reply topic up to the end that the topic had *after* the offset was
    /// found: then a reply that came before the commit is written before it.
    Commit {
        /// The consumer group.
        group: String,
        /// The request topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The next offset to be read: all before it are done.
        offset: i64,
        /// When the auditor asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked_us: Option<u64>,
    },
    /// This process was told to stop, and begins to.
    Draining,

    // Any process.
    /// The process is up.
    Started,
    /// The process ends in good order: nothing of its comes after this.
    Stopped,
    /// What the process holds just now. What is not known is left out.
    Gauge(Gauge),
    /// What a counter of the process' metrics stands at, once that is not zero.
    Counted {
        /// What it counts.
        what: String,
        /// How many so far.
        count: u64,
    },
    /// Something panicked that was not meant to.
    Panic {
        /// The panic in words.
        text: String,
    },
    /// A thread that sleeps a little again and again was not woken for so long, or a line of this
    /// history took so long to write: the machine had no time for this process, so it cannot have kept
    /// times until now.
    Starved {
        /// How much later than it should have been.
        for_us: u64,
    },

    // Whoever injects faults.
    /// A fault begins.
    FaultStart {
        /// The row of the matrix.
        row: String,
        /// The fault in words.
        name: String,
    },
    /// It has been healed.
    FaultStop {
        /// The row of the matrix.
        row: String,
    },
    /// All records of a partition before this offset are about to be deleted.
    Deleted {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The first offset that is kept.
        before: i64,
    },
    /// A topic is about to be deleted.
    TopicDeleted {
        /// Its name.
        topic: String,
    },
    /// And was made again, empty.
    TopicMade {
        /// Its name.
        topic: String,
    },
    /// A process is about to be killed without warning.
    Killed {
        /// Its name in the history.
        victim: String,
    },
    /// A process is about to be stopped by SIGSTOP.
    Paused {
        /// Its name in the history.
        victim: String,
    },
    /// And was continued.
    Resumed {
        /// Its name in the history.
        victim: String,
    },
}

/// What an error says of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The request is not in the request topic and never will be.
    NotSent,
    /// It may have been handled, or may yet be.
    Unknown,
    /// A replier took it and answered it.
    Executed,
}

/// How a request can end without an answer of its handler's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its deadline had passed before a handler could start.
    Expired,
    /// The replier would not handle it, and said so.
    Rejected,
    /// It is in the dead-letter topic.
    DeadLettered,
    /// Its caller wanted no answer any more, and told the replier.
    Cancelled,
}

/// What a process holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gauge {
    /// Calls or requests under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    /// Bytes of their payloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Resident memory in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Open file descriptors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fds: Option<u64>,
    /// Tasks of the runtime that are alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
}

impl Kind {
    /// The call that it is about, if it is about one.
    #[must_use]
    pub fn id(&self) -> Option<Id> {
        match self {
            Self::Invoke { id, .. }
            | Self::Acked { id, .. }
            | Self::Ok { id, .. }
            | Self::Err { id, .. }
            | Self::HandlerStart { id, .. }
            | Self::Effect { id }
            | Self::ReplyAcked { id, .. }
            | Self::Ended { id, .. } => Some(*id),
            _ => None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_first(item: &u32) -> bool {
    *item == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(kind: Kind) -> String {
        let event = Event { at_us: 7, process: "r".into(), event: kind };
        let text = serde_json::to_string(&event).expect("it can be written");
        assert_eq!(serde_json::from_str::<Event>(&text).expect("as written"), event);
        text
    }

    #[test]
    fn each_is_one_readable_line() {
        assert_eq!(
            json(Kind::Err {
                id: Id(1),
                class: Class::NotSent,
                code: "queue_full".into(),
                text: "two\nlines".into(),
            }),
            r#"{"at_us":7,"process":"r","event":{"err":{"id":"00000000000000000000000000000001","class":"not_sent","code":"queue_full","text":"two\nlines"}}}"#
        );
        assert_eq!(json(Kind::Draining), r#"{"at_us":7,"process":"r","event":"draining"}"#);
        assert_eq!(
            json(Kind::Gauge(Gauge { fds: Some(3), ..Gauge::default() })),
            r#"{"at_us":7,"process":"r","event":{"gauge":{"fds":3}}}"#
        );
    }

    #[test]
    fn of_the_requests_in_a_record_only_those_behind_the_first_say_so() {
        let acked =
            |item| Kind::Acked { id: Id(1), topic: "t".into(), partition: 2, offset: 3, item };
        assert_eq!(
            json(acked(0)),
            r#"{"at_us":7,"process":"r","event":{"acked":{"id":"00000000000000000000000000000001","topic":"t","partition":2,"offset":3}}}"#
        );
        assert!(json(acked(4)).ends_with(r#""offset":3,"item":4}}}"#));
    }

    #[test]
    fn a_call_is_found_in_what_is_about_one() {
        assert_eq!(Kind::Effect { id: Id(4) }.id(), Some(Id(4)));
        assert_eq!(Kind::Draining.id(), None);
    }
}
