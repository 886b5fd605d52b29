//! Configuration: what can be set, its defaults, and the layers it is read from.

mod environment;
mod error;
mod kafka;
mod keys;
mod load;
mod replier;
mod requester;
mod validate;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use kafka::{KafkaSettings, Preset};
pub use load::{Layers, Settings};
pub use replier::ReplierSettings;
pub use requester::{ReplyPartition, RequesterSettings, WhenFull};
