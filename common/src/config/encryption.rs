//! Which keys seal payloads, and where the keys are. Never the keys themselves.

use serde::{Deserialize, Serialize};

use super::{ConfigError, KeySource};

/// Settings of sealed payloads, the same for requesters and repliers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncryptionSettings {
    /// The id of the key that seals. Empty turns encryption off.
    pub seal_with: String,
    /// The keys that open: `<id>=file:<path>` or `<id>=env:<variable>`. A key has 32 or more random
    /// bytes of text; line ends at its end do not count.
    pub keys: Vec<String>,
    /// Whether payloads that are not sealed are refused. Without it they are taken, which is for the
    /// time in which sealing is introduced.
    pub require: bool,
}

impl Default for EncryptionSettings {
    fn default() -> Self {
        Self { seal_with: String::new(), keys: Vec::new(), require: true }
    }
}

impl EncryptionSettings {
    /// Whether payloads are sealed.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.seal_with.is_empty()
    }

    /// The ids of the keys, and where they are; those that cannot be parsed are left out.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, KeySource<'_>)> {
        self.keys.iter().filter_map(|text| KeySource::parse(text))
    }

    pub(crate) fn validate(&self, section: &'static str) -> Result<(), ConfigError> {
        KeySource::check(&self.keys, &self.seal_with, "seal_with", section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_keys_seals_or_there_are_none_and_plain_payloads_are_refused_by_default() {
        let with = |seal_with: &str, keys: &[&str]| EncryptionSettings {
            seal_with: seal_with.to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            ..EncryptionSettings::default()
        };
        for good in [with("", &[]), with("b", &["a=file:/run/a", "b=env:KEY_B"])] {
            assert!(good.require && good.validate("replier.encryption").is_ok(), "{good:?}");
        }
        for bad in [with("a", &[]), with("", &["a=env:A"]), with("a", &["a=hunter2"])] {
            let error = bad.validate("replier.encryption").expect_err("refused").to_string();
            assert!(error.contains("replier.encryption") && !error.contains("hunter2"), "{error}");
        }
        assert!(with("a", &["a=env:A"]).is_on() && !with("", &[]).is_on());
    }
}
