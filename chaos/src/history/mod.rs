//! What happened in a run: each process writes its own file, and the files merge into one history.

mod clock;
mod event;
mod hash;
mod id;
mod reader;
mod writer;

pub use clock::{now_us, us};
pub use event::{Class, End, Event, Gauge, Kind};
pub use hash::payload_hash;
pub use id::Id;
pub use reader::{History, Origin, ReadError};
pub use writer::Writer;
