//! The names of what is promised.

use std::fmt;

use serde::Serialize;

/// A promise that a history can be seen to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// G1: each call ends exactly once, by its deadline.
    Completion,
    /// G2: no reply completes another call.
    CrossTalk,
    /// G3: what an error says of its request is true.
    Outcome,
    /// G4: an acknowledged request is handled, or ends visibly.
    AtLeastOnce,
    /// G5: no commit before the reply, and none after a revocation.
    CommitAfterReply,
    /// G6: no handler starts past the deadline.
    Deadline,
    /// G7: one id, and one effect where duplicates are looked for.
    Dedupe,
    /// G8: one committed reply where replies are transactional.
    Transactions,
    /// G9: no commit by a process whose partition another one has.
    Zombie,
    /// G10: nothing grows beyond its cap.
    Bounded,
    /// G11: what goes wrong hurts one request.
    Isolation,
    /// G12: a stop in good order loses and repeats nothing.
    Drain,
    /// G13: order where it was asked for.
    Order,
    /// G14: replies go to allowed topics only.
    Destinations,
    /// For each fault: throughput comes back.
    Recovery,
    /// No promise of Antiphon's: the history contradicts itself, so it proves nothing.
    History,
}

impl Guarantee {
    /// All of them, in order.
    pub const ALL: [Self; 16] = [
        Self::Completion,
        Self::CrossTalk,
        Self::Outcome,
        Self::AtLeastOnce,
        Self::CommitAfterReply,
        Self::Deadline,
        Self::Dedupe,
        Self::Transactions,
        Self::Zombie,
        Self::Bounded,
        Self::Isolation,
        Self::Drain,
        Self::Order,
        Self::Destinations,
        Self::Recovery,
        Self::History,
    ];
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Completion => "G1 completion",
            Self::CrossTalk => "G2 cross-talk",
            Self::Outcome => "G3 outcome",
            Self::AtLeastOnce => "G4 at least once",
            Self::CommitAfterReply => "G5 commit after reply",
            Self::Deadline => "G6 deadline",
            Self::Dedupe => "G7 dedupe",
            Self::Transactions => "G8 transactions",
            Self::Zombie => "G9 zombie",
            Self::Bounded => "G10 bounded",
            Self::Isolation => "G11 isolation",
            Self::Drain => "G12 drain",
            Self::Order => "G13 order",
            Self::Destinations => "G14 destinations",
            Self::Recovery => "recovery",
            Self::History => "history",
        })
    }
}
