//! Reads settings from their layers: defaults, files and the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use config::{Config, File, FileFormat, Source};
use serde::{Deserialize, Serialize};
use toml::Table;

use super::{ConfigError, KafkaSettings, ReplierSettings, RequesterSettings, environment, keys};

/// Everything that can be configured. `config/default.toml` has each key with its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// The requester's settings.
    pub requester: RequesterSettings,
    /// The replier's settings.
    pub replier: ReplierSettings,
}

/// The layers that settings are read from, each winning over those before it: the defaults, the
/// files in the order they were added, and the environment.
///
/// # Variables
///
/// `ANTIPHON__REPLIER__CONCURRENCY=64` sets `replier.concurrency`: the prefix, then the section
/// and the key in capitals, with two underscores between them. Numbers are written as they are,
/// lists with commas: `ANTIPHON__REPLIER__ALLOW_REPLY_TO=quotes.*,orders.replies`.
///
/// Client properties have dots in their names, which many shells do not allow in a variable. So
/// in `ANTIPHON__KAFKA__PROPERTIES__SASL_PASSWORD` each underscore of the last part stands for a
/// dot (`sasl.password`); a name that has dots is taken as it is. The value is never interpreted:
/// a password of `0123` stays one.
///
/// With `_FILE` behind its name, a property is read from a file, as secrets are mounted:
/// `ANTIPHON__KAFKA__PROPERTIES__SASL_PASSWORD_FILE=/run/secrets/kafka`. Line ends at the end of
/// the file are not part of the value.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    files: Vec<PathBuf>,
}

/// The values that one file or one variable sets.
pub(super) struct Layer {
    /// The file or the variable, as errors call it.
    pub(super) origin: String,
    pub(super) values: Table,
}

impl Layers {
    /// The defaults and the environment alone.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file, which must exist.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.files.push(path.as_ref().to_owned());
        self
    }

    /// Reads the layers, with the variables of this process, and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`] names the key, and the file or variable it was written in.
    pub fn load(&self) -> Result<Settings, ConfigError> {
        self.load_from(&environment::of_this_process(env::vars_os())?)
    }

    /// As [`load`](Self::load), with the given variables in place of those of this process. Those
    /// that do not begin with `ANTIPHON__` are ignored.
    ///
    /// # Errors
    /// [`ConfigError`] names the key, and the file or variable it was written in.
    pub fn load_from(&self, variables: &BTreeMap<String, String>) -> Result<Settings, ConfigError> {
        let known = keys::known();
        let mut merged = Config::builder();
        for path in &self.files {
            merged = merged.add_source(source(&checked(read(path)?, &known)?));
        }
        for layer in environment::layers(variables, &known, |path| fs::read_to_string(path))? {
            merged = merged.add_source(source(&checked(layer, &known)?));
        }
        let merged = merged.build().and_then(Config::try_deserialize);
        let settings: Settings = merged.map_err(ConfigError::Layers)?;
        settings.validate()?;
        Ok(settings)
    }
}

fn read(path: &Path) -> Result<Layer, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
    let origin = format!("the file {}", path.display());
    match text.parse() {
        Ok(values) => Ok(Layer { origin, values }),
        Err(error) => {
            // The error's own text shows the line, which may hold a secret.
            let error: toml::de::Error = error;
            let start = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(start).filter(|&byte| byte == b'\n').count() + 1;
            Err(ConfigError::Syntax { origin, line, problem: error.message().to_owned() })
        }
    }
}

/// The values of a layer, if they are such that no other layer can make them right.
fn checked(layer: Layer, known: &Table) -> Result<Table, ConfigError> {
    let values = keys::fit(layer.values, known, &layer.origin)?;
    deserialized(values.clone(), &layer.origin)?;
    Ok(values)
}

fn deserialized(values: Table, origin: &str) -> Result<Settings, ConfigError> {
    values.try_into().map_err(|error: toml::de::Error| {
        // The second line says which key it is.
        let problem = error.to_string().trim_end().replace('\n', ", ");
        ConfigError::Value { origin: origin.to_owned(), problem }
    })
}

/// A layer as the config crate merges it. It is checked before that, one by one: once merged,
/// values are read leniently (`true` as 1, say), and an error can no longer name its variable.
fn source(values: &Table) -> impl Source + Send + Sync + 'static {
    let text = toml::to_string(values).expect("a table that was parsed has a text form");
    File::from_str(&text, FileFormat::Toml)
}
