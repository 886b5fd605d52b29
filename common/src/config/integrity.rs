//! Which keys sign requests and replies, and where the keys are. Never the keys themselves.

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The longest id of a key: it is in every record.
const MAX_ID: usize = 64;

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

/// Where a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeySource<'a> {
    File(&'a str),
    Variable(&'a str),
}

impl IntegritySettings {
    /// Whether signatures are made and asked for.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.sign_with.is_empty()
    }

    /// The ids of the keys, and where they are; those that cannot be parsed are left out.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, KeySource<'_>)> {
        self.keys.iter().filter_map(|text| parse(text))
    }

    pub(crate) fn validate(&self, section: &'static str) -> Result<(), ConfigError> {
        let wrong = |value: String, allowed: &str| {
            Err(ConfigError::Range { key: section, value, allowed: allowed.to_owned() })
        };
        for (at, text) in self.keys.iter().enumerate() {
            let Some((id, _)) = parse(text) else {
                // Not the text: it may be the key itself, put here by mistake.
                return wrong(
                    format!("keys: the entry {}", at + 1),
                    "`<id>=file:<path>` or `<id>=env:<variable>`, with an id of up to 64 letters, \
                     digits, `-` and `_`",
                );
            };
            if self.sources().filter(|(other, _)| *other == id).count() > 1 {
                return wrong(format!("keys: {id:?} twice"), "each id once");
            }
        }
        let known = self.sources().any(|(id, _)| id == self.sign_with);
        if self.is_on() != known || (!self.is_on() && !self.keys.is_empty()) {
            let allowed = "the id of one of the keys (or neither that nor keys, for no signatures)";
            return wrong(format!("sign_with: {:?}", self.sign_with), allowed);
        }
        Ok(())
    }
}

fn parse(text: &str) -> Option<(&str, KeySource<'_>)> {
    let (id, source) = text.split_once('=')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(plain) {
        return None;
    }
    let source = match source.split_once(':')? {
        (_, "") => return None,
        ("file", path) => KeySource::File(path),
        ("env", variable) => KeySource::Variable(variable),
        _ => return None,
    };
    Some((id, source))
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
