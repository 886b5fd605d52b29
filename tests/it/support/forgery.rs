//! Records that no client library writes, put together byte by byte: names that are not UTF-8,
//! header blocks that lie about their length. For the embedded broker, which checks no checksums.

use std::io::{Read, Write};
use std::net::TcpStream;

use antiphon_testkit::TestBroker;

use super::waiting::LIMIT;

/// A record to forge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forged {
    payload: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    claimed: Option<i64>,
}

impl Forged {
    /// A record with a payload and no headers.
    pub(crate) fn new(payload: &[u8]) -> Self {
        Self { payload: Some(payload.to_vec()), ..Self::default() }
    }

    /// Leaves nothing of the payload but its presence.
    pub(crate) fn empty_payload(mut self) -> Self {
        self.payload = Some(Vec::new());
        self
    }

    /// Leaves the payload out: it is null, not empty.
    pub(crate) fn null_payload(mut self) -> Self {
        self.payload = None;
        self
    }

    /// Adds a header, whatever is there already.
    pub(crate) fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), Some(value.as_ref().to_vec())));
        self
    }

    /// Adds a header without a value.
    pub(crate) fn null_header(mut self, name: &str) -> Self {
        self.headers.push((name.into(), None));
        self
    }

    /// Takes the headers of that name out.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name.as_bytes());
        self
    }

    /// Claims that the header block has so many headers.
    pub(crate) fn claiming(mut self, headers: i64) -> Self {
        self.claimed = Some(headers);
        self
    }

    /// Writes the record to a partition, and returns when the broker has it.
    pub(crate) fn send(&self, broker: &TestBroker, topic: &str, partition: i32) {
        Forger::connect(broker).send(self, topic, partition);
    }

    /// A batch of format 2 with this one record.
    fn batch(&self) -> Vec<u8> {
        let mut rest = Bytes::default();
        // Leader epoch, format, checksum, attributes, last offset delta.
        rest.i32(0).i8(2).i32(0).i16(0).i32(0);
        // First and last timestamp; no producer id, epoch or sequence; one record.
        rest.i64(1).i64(1).i64(-1).i16(-1).i32(-1).i32(1);
        let record = self.record();
        rest.varint(i64::try_from(record.len()).unwrap());
        rest.0.extend(record);
        let mut batch = Bytes::default();
        batch.i64(0).block(&rest.0);
        batch.0
    }

    fn record(&self) -> Vec<u8> {
        let mut record = Bytes::default();
        // Attributes, timestamp delta, offset delta, null key.
        record.i8(0).varint(0).varint(0).varint(-1);
        record.nullable(self.payload.as_deref());
        record.varint(self.claimed.unwrap_or(i64::try_from(self.headers.len()).unwrap()));
        for (name, value) in &self.headers {
            record.nullable(Some(name)).nullable(value.as_deref());
        }
        record.0
    }
}

/// A connection to the broker, for those who are in a hurry.
pub(crate) struct Forger(TcpStream);

impl Forger {
    /// Connects.
    pub(crate) fn connect(broker: &TestBroker) -> Self {
        let stream = TcpStream::connect(broker.bootstrap()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Writes a record to a partition, and returns when the broker has it.
    pub(crate) fn send(&mut self, record: &Forged, topic: &str, partition: i32) {
        let mut request = Bytes::default();
        // Produce, version 3; a correlation id; a client id.
        request.i16(0).i16(3).i32(7).string("forger");
        // No transaction; acks by all; 30 s.
        request.i16(-1).i16(-1).i32(30_000);
        request.i32(1).string(topic).i32(1).i32(partition).block(&record.batch());
        let mut framed = Bytes::default();
        framed.block(&request.0);
        self.0.write_all(&framed.0).unwrap();

        let mut size = [0; 4];
        self.0.read_exact(&mut size).unwrap();
        let mut response = vec![0; usize::try_from(u32::from_be_bytes(size)).unwrap()];
        self.0.read_exact(&mut response).unwrap();
        // Correlation id, one topic, its name, one partition, its number; then the error code.
        let at = 4 + 4 + 2 + topic.len() + 4 + 4;
        assert_eq!(response[at..at + 2], [0, 0], "the broker refused the forged record");
    }
}

/// The primitive types of the protocol.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn i8(&mut self, value: i8) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i16(&mut self, value: i16) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i64(&mut self, value: i64) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn string(&mut self, text: &str) -> &mut Self {
        self.i16(i16::try_from(text.len()).unwrap());
        self.0.extend(text.as_bytes());
        self
    }

    /// Bytes with their length before them.
    fn block(&mut self, bytes: &[u8]) -> &mut Self {
        self.i32(i32::try_from(bytes.len()).unwrap());
        self.0.extend(bytes);
        self
    }

    /// A number of variable length, in zigzag.
    fn varint(&mut self, value: i64) -> &mut Self {
        let mut left = (value << 1 ^ value >> 63).cast_unsigned();
        while left >= 0x80 {
            self.0.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
            left >>= 7;
        }
        self.0.push(u8::try_from(left).unwrap());
        self
    }

    fn nullable(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            None => self.varint(-1),
            Some(bytes) => {
                self.varint(i64::try_from(bytes.len()).unwrap());
                self.0.extend(bytes);
                self
            }
        }
    }
}
