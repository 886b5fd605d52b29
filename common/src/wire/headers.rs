//! The headers of a record that belong to the application.

use std::fmt;

use bytes::Bytes;

use super::names;
use crate::integrity::Canonical;

/// Application headers, in the order of the wire; names are bytes, as Kafka has them.
///
/// The protocol's own headers are not among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Bytes, Bytes)>);

impl Headers {
    /// No headers; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a header at the end.
    pub fn push(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// The value of the last header of that name: among several, the last one counts.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&Bytes> {
        let name = name.as_ref();
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All headers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Bytes, &Bytes)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes of all names and values.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The name of a header that is the protocol's own and cannot be set by an application.
    #[must_use]
    pub fn reserved(&self) -> Option<&'static str> {
        self.0.iter().find_map(|(name, _)| names::read_as(name))
    }

    /// What is written of them. Names that are the protocol's own are left out: the last header of a name
    /// counts, so they would replace what was written before them. Names that are not UTF-8 are left out
    /// too: rdkafka's writer takes text only, and the calls that accept headers refuse other names before
    /// this point.
    pub(super) fn written(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let own = self.iter().filter(|(name, _)| names::read_as(name).is_none());
        own.filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, &value[..])))
    }

    /// Adds what a signature covers: all of them, in their order.
    pub(super) fn sign_into(&self, message: &mut Canonical) {
        for (name, value) in &self.0 {
            message.field(Some(name));
            message.field(Some(value));
        }
    }

    pub(super) fn push_wire(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.push(Bytes::copy_from_slice(name), value.map_or(Bytes::new(), Bytes::copy_from_slice));
    }
}

impl fmt::Debug for Headers {
    /// Shows names and sizes only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, value.len()))).finish()
    }
}
