//! Where keys are: in files and variables, never in the settings themselves.

use super::ConfigError;

/// The longest id of a key: it is in every record.
const MAX_ID: usize = 64;

/// Where a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeySource<'a> {
    File(&'a str),
    Variable(&'a str),
}

impl<'a> KeySource<'a> {
    /// The id of a key and where it is, out of `<id>=file:<path>` or `<id>=env:<variable>`.
    pub(super) fn parse(text: &'a str) -> Option<(&'a str, Self)> {
        let (id, source) = text.split_once('=')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(plain) {
            return None;
        }
        let source = match source.split_once(':')? {
            (_, "") => return None,
            ("file", path) => Self::File(path),
            ("env", variable) => Self::Variable(variable),
            _ => return None,
        };
        Some((id, source))
    }

    /// Checks a list of keys, one of which is `chosen` by the setting `field`.
    pub(super) fn check(
        keys: &'a [String],
        chosen: &str,
        field: &str,
        section: &'static str,
    ) -> Result<(), ConfigError> {
        let wrong = |value: String, allowed: &str| {
            Err(ConfigError::Range { key: section, value, allowed: allowed.to_owned() })
        };
        let ids = || keys.iter().filter_map(|text| Self::parse(text)).map(|(id, _)| id);
        for (at, text) in keys.iter().enumerate() {
            let Some((id, _)) = Self::parse(text) else {
                // Not the text: it may be the key itself, put here by mistake.
                return wrong(
                    format!("keys: the entry {}", at + 1),
                    "`<id>=file:<path>` or `<id>=env:<variable>`, with an id of up to 64 letters, \
                     digits, `-` and `_`",
                );
            };
            if ids().filter(|other| *other == id).count() > 1 {
                return wrong(format!("keys: {id:?} twice"), "each id once");
            }
        }
        let is_on = !chosen.is_empty();
        if is_on != ids().any(|id| id == chosen) || (!is_on && !keys.is_empty()) {
            let allowed = "the id of one of the keys (or neither that nor keys, to turn it off)";
            return wrong(format!("{field}: {chosen:?}"), allowed);
        }
        Ok(())
    }
}
