//! What lies in the logs of a run: the requests or replies of each record, and which call each is of.
//! A record may hold several; each is treated as if it had a record of its own.

mod calls;
mod item;

pub use calls::Calls;
pub use item::{Item, items};
