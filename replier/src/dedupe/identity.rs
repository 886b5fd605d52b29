//! What makes two requests the same: a digest, so that what is kept of each has a fixed size.

use sha2::{Digest, Sha256};

use crate::handlers::context::Context;

/// The identity of a request in its partition.
///
/// The bytes come from a hash that nobody can aim at another's identity, and are cut to 128 bits:
/// what a collision could do is to give its author his own reply, since the reply topic is part of
/// what is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity([u8; Self::LEN]);

impl Identity {
    const LEN: usize = 16;

    /// The identity by the idempotency key, or by the correlation id if there is none.
    ///
    /// The endpoint and the reply topic belong to it: whoever guesses another's key gets neither
    /// the reply of another endpoint, nor one that was meant for another reply topic. So does the
    /// group: several may answer the same requests, each for itself, and share a changelog.
    pub(crate) fn of(
        context: &Context,
        group: &str,
        endpoint: Option<&str>,
        reply_topic: Option<&str>,
    ) -> Self {
        let (kind, id) = match &context.facts.idempotency_key {
            Some(key) => (b'k', &key[..]),
            None => (b'c', context.correlation_id()),
        };
        let mut hash = Sha256::new_with_prefix([kind]);
        for name in [Some(group), endpoint, reply_topic] {
            // The lengths keep the parts apart, and one that is missing from one that is empty.
            let length = name.map_or(u64::MAX, |name| name.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(name.unwrap_or_default());
        }
        hash.update(id);
        let digest = hash.finalize();
        Self(std::array::from_fn(|index| digest[index]))
    }

    /// Reads the key of a changelog record.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
impl Identity {
    /// The identity of a test's own.
    pub(crate) fn numbered(number: u8) -> Self {
        Self([number; Self::LEN])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::context::Facts;

    fn context(correlation_id: &'static str, key: Option<&'static str>) -> Context {
        let facts = Facts {
            correlation_id: correlation_id.into(),
            idempotency_key: key.map(Into::into),
            ..Facts::for_tests()
        };
        facts.into()
    }

    #[test]
    fn the_same_key_is_the_same_request_whatever_the_correlation_id() {
        let of = |id, key| Identity::of(&context(id, key), "g", Some("e"), Some("r"));
        assert_eq!(of("1", Some("key")), of("2", Some("key")));
        assert_eq!(of("1", None), of("1", None));
        assert_ne!(of("1", None), of("2", None));
        assert_ne!(of("1", Some("key")), of("1", Some("yek")));
        assert_ne!(of("key", None), of("1", Some("key")), "a key is no correlation id");
    }

    #[test]
    fn groups_endpoints_and_reply_topics_are_apart() {
        let context = context("1", Some("k"));
        let of = |endpoint, reply| Identity::of(&context, "g", endpoint, reply);
        let different = [
            Identity::of(&context, "h", None, None),
            Identity::of(&context, "ga", Some("b"), Some("c")),
            of(Some("ab"), Some("c")),
            of(Some("a"), Some("bc")),
            of(None, Some("abc")),
            of(Some(""), Some("abc")),
            of(Some("abc"), None),
            of(None, None),
        ];
        for (index, one) in different.iter().enumerate() {
            assert!(!different[..index].contains(one), "{index}");
        }
    }

    #[test]
    fn bytes_and_back() {
        let identity = Identity::of(&context("1", None), "g", None, None);
        assert_eq!(Identity::from_bytes(identity.as_bytes()), Some(identity));
        assert_eq!(Identity::from_bytes(b"short"), None);
        assert_eq!(Identity::from_bytes(&[0; 17]), None);
    }
}
