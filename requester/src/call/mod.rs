//! One call: what is asked, how it is put together and sent, and the future of its answer.

mod ask;
mod builder;
mod ending;
mod error;
mod name;
mod options;
mod pending;
mod produce;
mod reply;
mod submit;
mod tell;

pub use ask::{Ask, RawRequest, Typed};
pub use builder::CallBuilder;
pub(crate) use ending::Ending;
pub(crate) use error::Failure;
pub use error::{CallError, CallErrorKind};
pub use name::Name;
pub(crate) use options::Prepared;
pub use pending::Call;
pub(crate) use pending::{Decode, Entry, Task};
pub use reply::Reply;
