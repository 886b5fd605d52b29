//! What is on the wire: header names, caps, and the headers of requests and replies.
//!
//! Every header is unauthenticated input: anyone who may write to a topic may write anything. So
//! reading takes keys and values as bytes, stops at [`Caps`], and interprets nothing until asked.

mod caps;
mod dead_letter;
mod deadline;
mod headers;
pub mod names;
mod origin;
mod packed;
mod reply;
mod request;
mod retry;

pub use caps::{Caps, HeaderFault};
pub use dead_letter::{DeadLetter, DeadLetterOut};
pub use deadline::deadline_millis;
pub use headers::Headers;
pub use origin::{Origin, RawHeader, is_added};
pub use packed::{
    MAX_ITEM_PAYLOAD, MAX_PACK_BYTES, MAX_PACKED, Pack, Packed, PackedItem, is_packed, most_packed,
};
pub use reply::{ReplyHeaders, ReplyHeadersOut, StreamPosition};
pub use request::{RequestHeaders, RequestHeadersOut, cancel_headers};
pub use retry::{RetryHeaders, RetryHeadersOut};
