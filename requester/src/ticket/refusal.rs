//! Why a ticket is refused.

/// A ticket that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// The text is longer than any ticket.
    #[error("the ticket has {bytes} bytes, and none has more than {max}; it is not a ticket")]
    TooLong {
        /// The length of the text.
        bytes: usize,
        /// The greatest length there is.
        max: usize,
    },
    /// The text does not begin as a ticket does.
    #[error("this is no ticket of this version: it must begin with `antiphon1.`")]
    Prefix,
    /// A part of the text is not what base64 makes of bytes.
    #[error("the ticket's {part} is not base64url without padding; it was cut or changed")]
    Encoding {
        /// The part.
        part: &'static str,
    },
    /// The contents are not what a ticket holds.
    #[error("the ticket's contents cannot be read: {0}; it was cut or changed")]
    Contents(String),
    /// A field has a value that is not allowed.
    #[error("the ticket's {field} {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The ticket has no seal, and one is asked for.
    #[error("the ticket is not sealed; seal it with the key that the requester has")]
    Unsealed,
    /// The seal is not the one that the key makes.
    #[error("the ticket's seal is wrong: it was changed, or sealed with another key")]
    WrongSeal,
    /// The reply comes to another topic than the requester reads.
    #[error(
        "the ticket's reply comes to the topic `{ticket}`, and this requester reads \
         `{requester}`; redeem it with a requester of that reply topic"
    )]
    OtherReplyTopic {
        /// The topic that the ticket names.
        ticket: String,
        /// The topic of the requester.
        requester: String,
    },
    /// The reply topic has no such partition.
    #[error(
        "the ticket names partition {partition} of the reply topic, which has {count}; it is \
         from another cluster, or was changed"
    )]
    NoSuchPartition {
        /// The partition that the ticket names.
        partition: i32,
        /// How many there are.
        count: i32,
    },
    /// A key is too short to seal with.
    #[error("a ticket key of {bytes} bytes is too short; give {least} or more random bytes")]
    ShortKey {
        /// The bytes that were given.
        bytes: usize,
        /// The fewest that are taken.
        least: usize,
    },
}
