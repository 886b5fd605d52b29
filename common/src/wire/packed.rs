//! Several replies in one record.
//!
//! What a record costs, at its producer, at the broker and at its consumer, hardly depends on its size. So
//! small replies that leave together, for one partition, may share a record if their requests say so.
//! docs/wire.md has the layout.

use super::HeaderFault;
use super::names;
use super::reply::ReplyHeadersOut;
use super::request::RequestHeadersOut;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};

/// The most replies that are read out of one record.
pub const MAX_PACKED: usize = 1_024;

/// The payload of a record of several replies, as it is written.
#[derive(Debug, Default)]
pub struct Pack(Vec<u8>);

/// The replies in such a payload, one after the other. It ends at the first whose length is not that of
/// bytes that are there, which is told once.
#[derive(Debug)]
pub struct Packed<'a> {
    rest: &'a [u8],
    read: usize,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedReply<'a> {
    /// The key, as that of a record.
    pub key: Option<&'a [u8]>,
    /// The payload, as that of a record.
    pub payload: Option<&'a [u8]>,
    /// The headers; known to be well-formed.
    headers: Parts<'a>,
}

/// Strings with their lengths before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts<'a>(&'a [u8]);

/// The length of a reply is that many bytes, big-endian.
const LENGTH: usize = size_of::<u32>();

impl Pack {
    /// Adds a reply.
    pub fn push(
        &mut self,
        headers: &ReplyHeadersOut<'_>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) {
        self.entry(key, payload, |pack| {
            headers.each(|name, value| {
                pack.part(Some(name.as_bytes()));
                pack.part(Some(value));
            });
        });
    }

    /// Adds a request.
    pub fn push_request(&mut self, headers: &RequestHeadersOut<'_>, payload: &[u8]) {
        self.entry(None, Some(payload), |pack| {
            headers.each(|name, value| {
                pack.part(Some(name.as_bytes()));
                pack.part(Some(value));
            });
        });
    }

    /// Adds a reply whose headers are written already.
    pub fn push_written(
        &mut self,
        headers: &OwnedHeaders,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) {
        self.entry(key, payload, |pack| {
            for Header { key, value } in headers.iter() {
                pack.part(Some(key.as_bytes()));
                pack.part(value);
            }
        });
    }

    /// The payload.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Begins another one in the same room.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The headers of the record.
    #[must_use]
    pub fn headers() -> OwnedHeaders {
        let header = Header { key: names::PACKED, value: Some(b"1") };
        OwnedHeaders::new_with_capacity(1).insert(header)
    }

    fn entry(
        &mut self,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl FnOnce(&mut Self),
    ) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; LENGTH]);
        self.part(key);
        self.part(payload);
        headers(self);
        let length = self.0.len() - start - LENGTH;
        // No record is as large as that; if one were, it would be read as ending there.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.0[start..start + LENGTH].copy_from_slice(&length.to_be_bytes());
    }

    /// Its length and one, seven bits to a byte and the lowest first, or 0 for none.
    fn part(&mut self, part: Option<&[u8]>) {
        let mut left = part.map_or(0, |part| part.len() + 1);
        while left >= 0x80 {
            self.0.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        self.0.push(left as u8);
        self.0.extend_from_slice(part.unwrap_or_default());
    }
}

impl<'a> Packed<'a> {
    /// The replies in the payload of a record.
    #[must_use]
    pub fn read(payload: &'a [u8]) -> Self {
        Self { rest: payload, read: 0 }
    }
}

impl<'a> Iterator for Packed<'a> {
    type Item = Result<PackedReply<'a>, HeaderFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = (self.read < MAX_PACKED).then_some(self.rest).and_then(|rest| {
            let (length, rest) = rest.split_first_chunk::<LENGTH>()?;
            rest.split_at_checked(u32::from_be_bytes(*length) as usize)
        });
        let Some((entry, rest)) = entry else {
            self.rest = &[];
            return Some(Err(HeaderFault::Malformed));
        };
        self.read += 1;
        self.rest = rest;
        Some(PackedReply::read(entry).ok_or(HeaderFault::Malformed))
    }
}

impl<'a> PackedReply<'a> {
    fn read(entry: &'a [u8]) -> Option<Self> {
        let mut parts = Parts(entry);
        let (key, payload) = (parts.next()?, parts.next()?);
        let headers = parts;
        while !parts.0.is_empty() {
            parts.next()??;
            parts.next()?;
        }
        Some(Self { key, payload, headers })
    }

    /// The headers, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut parts = self.headers;
        std::iter::from_fn(move || Some((parts.next()??, parts.next()?)))
    }
}

impl<'a> Parts<'a> {
    /// The next one; `None` if there is none that is whole.
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            // Five bytes are enough for any that fits into an entry.
            length |= usize::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 35)?;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        let Some(length) = length.checked_sub(1) else { return Some(None) };
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(part))
    }
}
