//! One record of a dead-letter topic, copied out of its fetch buffer, and what it says.

use std::time::SystemTime;

use antiphon::wire::{DeadLetter, HeaderFault, RawHeader, names};
use rdkafka::message::{BorrowedMessage, Message};
use serde_json::{Value, json};

use super::position::Position;

/// A record of a dead-letter topic. Anyone who may write there may have written it.
#[derive(Debug, Clone, Default)]
pub(super) struct Letter {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Whether the client could not make out the headers.
    pub(super) malformed: bool,
}

impl Letter {
    pub(super) fn copy(record: &BorrowedMessage<'_>) -> Self {
        let headers = antiphon_native::headers(record).map(|headers| {
            headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect()
        });
        Self {
            partition: record.partition(),
            offset: record.offset(),
            key: record.key().map(<[u8]>::to_vec),
            payload: record.payload().map(<[u8]>::to_vec),
            malformed: headers.is_err(),
            headers: headers.unwrap_or_default(),
        }
    }

    pub(super) fn position(&self) -> Position {
        Position { partition: self.partition, offset: self.offset }
    }

    /// What a replier has written of it.
    pub(super) fn read(&self) -> Result<DeadLetter<'_>, HeaderFault> {
        if self.malformed {
            return Err(HeaderFault::Malformed);
        }
        DeadLetter::read(self.raw_headers())
    }

    pub(super) fn raw_headers(&self) -> impl Iterator<Item = RawHeader<'_>> {
        self.headers.iter().map(|(name, value)| (&name[..], value.as_deref()))
    }

    pub(super) fn size(&self) -> usize {
        self.payload.as_ref().map_or(0, Vec::len)
    }

    /// The last header of a name: among several, that one counts.
    pub(super) fn header(&self, name: &str) -> Option<&[u8]> {
        let named = self.headers.iter().rev().find(|(known, _)| known == name.as_bytes());
        named.and_then(|(_, value)| value.as_deref())
    }

    pub(super) fn endpoint(&self) -> Option<&[u8]> {
        self.header(names::ENDPOINT)
    }

    /// All that can be said of it in JSON, its payload aside.
    pub(super) fn described(&self) -> Value {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut described = json!({
            "partition": self.partition,
            "offset": self.offset,
            "endpoint": self.endpoint().map(text),
            "key": self.key.as_deref().map(text),
            "size": self.size(),
        });
        let said = match self.read() {
            Ok(letter) => json!({
                "code": letter.code.name(),
                "error": letter.error,
                "runs": letter.runs,
                "failed_at_ms": letter.failed_at.map(unix_millis),
                "group": letter.group,
                "origin": {
                    "topic": letter.origin.topic,
                    "partition": letter.origin.partition,
                    "offset": letter.origin.offset,
                },
            }),
            Err(fault) => json!({"fault": fault.to_string()}),
        };
        if let (Some(all), Value::Object(said)) = (described.as_object_mut(), said) {
            all.extend(said);
        }
        described
    }
}

pub(super) fn unix_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time that has passed, in its largest unit.
pub(super) fn age(since: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(since).unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ages_have_one_unit() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (seconds, text) in
            [(0, "0s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (900_000, "10d")]
        {
            assert_eq!(age(now - Duration::from_secs(seconds), now), text);
        }
        assert_eq!(age(now + Duration::from_secs(5), now), "0s", "clocks differ");
    }

    #[test]
    fn what_is_no_dead_letter_says_so() {
        let described = Letter { key: Some(b"k".to_vec()), ..Letter::default() }.described();
        assert!(described["fault"].as_str().expect("text").contains("antiphon-origin-topic"));
        assert_eq!(described["key"], "k");
    }
}
