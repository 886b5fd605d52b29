//! Ways to be wrong, to see that they are noticed.

/// A mistake that is made on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// There is none.
    None,
    /// Replies to other instances count as one's own.
    InstanceFilterOff,
    /// A call enters the table some time after its request was sent.
    RegisterAfterSend,
    /// A call that could not be sent stays in the table.
    EntryLeaked,
    /// A second reply ends a call again.
    CompletedTwice,
    /// The partition that a lease leaves is read no longer.
    OldPartitionDropped,
    /// A delivery in doubt is reported as not sent.
    DoubtIsNotSent,
    /// Handlers start whatever the deadline.
    DeadlineIgnored,
    /// The dedupe window is not asked.
    DedupeOff,
    /// A request counts as complete when its handler starts.
    CommitBeforeReply,
    /// What runs when a partition is given up counts as complete.
    LostOnRevoke,
}
