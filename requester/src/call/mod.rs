//! One call: what is asked, how it is put together, and the future of its answer.

mod ask;
mod builder;
mod error;
mod pending;
mod reply;
mod topic;

pub use ask::{Ask, RawRequest, Typed};
pub use builder::CallBuilder;
pub(crate) use error::Failure;
pub use error::{CallError, CallErrorKind};
pub use pending::Call;
pub use reply::Reply;
pub use topic::Topic;
