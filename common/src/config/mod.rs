//! Configuration: what can be set, its defaults, and the layers it is read from.

mod environment;
mod error;
mod integrity;
mod kafka;
mod keys;
mod load;
mod replier;
mod replier_failures;
mod requester;
mod validate;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use integrity::IntegritySettings;
pub(crate) use integrity::KeySource;
pub use kafka::{KafkaSettings, Preset};
pub use load::{Layers, Settings};
pub use replier::{Lane, ReplierSettings};
pub use replier_failures::{
    DeadLetterSettings, DedupeSettings, DedupeStore, RetrySettings, TransactionSettings,
};
pub use requester::{ReplyPartition, RequesterSettings, WhenFull};
