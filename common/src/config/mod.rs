//! Configuration: what can be set, its defaults, and the layers it is read from.

mod encryption;
mod environment;
mod error;
mod integrity;
mod kafka;
mod key_source;
mod keys;
mod load;
mod replier;
mod replier_failures;
mod requester;
mod validate;

#[cfg(test)]
mod tests;

pub use encryption::EncryptionSettings;
pub use error::ConfigError;
pub use integrity::IntegritySettings;
pub use kafka::{KafkaSettings, Preset};
pub(crate) use key_source::KeySource;
pub use load::{Layers, Settings};
pub use replier::{Lane, ReplierSettings};
pub use replier_failures::{
    DeadLetterSettings, DedupeSettings, DedupeStore, RetrySettings, TransactionSettings,
};
pub use requester::{ReplyPartition, RequesterSettings, WhenFull};
