//! Which keys sign requests and replies, and where the keys are. Never the keys themselves.

use serde::{Deserialize, Serialize};

use super::{ConfigError, KeySource};

/// Settings of signatures, the same for requesters and repliers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntegritySettings {
    /// The id of the key that signs. Empty turns signatures off, both making and asking for them.
    pub sign_with: String,
    /// The keys that are accepted: `<id>=file:<path>` or `<id>=env:<variable>`. A key has 32 or more
    /// random bytes of text; line ends at its end do not count.
    pub keys: Vec<String>,
}

impl IntegritySettings {
    /// Whether signatures are made and asked for.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.sign_with.is_empty()
    }

    /// The ids of the keys, and where they are; those that cannot be parsed are left out.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, KeySource<'_>)> {
        self.keys.iter().filter_map(|text| KeySource::parse(text))
    }

    pub(crate) fn validate(&self, section: &'static str) -> Result<(), ConfigError> {
        KeySource::check(&self.keys, &self.sign_with, "sign_with", section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(sign_with: &str, keys: &[&str]) -> IntegritySettings {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        IntegritySettings { sign_with: sign_with.to_owned(), keys }
    }

    #[test]
    fn only_sources_of_keys_are_allowed_and_one_signs() {
        let section = "requester.integrity";
        for good in [settings("", &[]), settings("b", &["a=file:/run/a", "b=env:KEY_B"])] {
            assert!(good.validate(section).is_ok(), "{good:?}");
        }
        for bad in [
            settings("a", &[]),
            settings("", &["a=file:/run/a"]),
            settings("b", &["a=file:/run/a"]),
            settings("a", &["a=file:/run/a", "a=file:/run/b"]),
            settings("a", &["a=file:"]),
            settings("a.b", &["a.b=file:/run/a"]),
        ] {
            assert!(bad.validate(section).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_put_in_place_of_its_source_is_not_shown() {
        let error = settings("a", &["a=hunter2hunter2"]).validate("replier.integrity");
        let text = error.expect_err("no source").to_string();
        assert!(!text.contains("hunter2") && text.contains("replier.integrity"), "{text}");
    }
}
