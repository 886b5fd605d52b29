//! The header blocks of requests and replies, and the signatures in them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use antiphon_common::Integrity;
use antiphon_common::config::IntegritySettings;
use antiphon_common::wire::{Caps, ReplyHeaders, RequestHeaders};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};

use crate::pieces::{Owned, Pieces, raw};

/// What a replier reads of a request.
pub(crate) fn request(data: &[u8]) {
    let headers = Pieces::of(data).headers();
    let Ok(mut read) = RequestHeaders::read(raw(&headers), Caps::default()) else { return };
    assert_caps(&headers);
    assert!(read.correlation_id().is_ok_and(|id| !id.is_empty()) || read.correlation_id().is_err());
    assert!(read.reply_topic().is_ok_and(|topic| !topic.is_empty()) || read.reply_topic().is_err());
    assert!(read.reply_partition().ok().flatten().is_none_or(|partition| partition >= 0));
    for most in [Duration::ZERO, Duration::from_secs(3600), Duration::MAX] {
        let deadline = read.deadline(most).ok().flatten();
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(deadline.is_none_or(|deadline| deadline.remaining() <= most.min(day)));
    }
    assert!(read.idempotency_key().is_none_or(|key| !key.is_empty()));
    let _ = (read.endpoint().is_ok(), read.content_type(), read.attempt(), read.claim());
    let _ = (read.is_cancel(), read.is_cancellable());
    let application = read.take_application();
    assert_eq!(application.reserved(), None);
    assert!(application.size() <= Caps::default().bytes);
}

/// What a requester reads of a reply.
pub(crate) fn reply(data: &[u8]) {
    let headers = Pieces::of(data).headers();
    let Ok(mut read) = ReplyHeaders::read(raw(&headers), Caps::default()) else { return };
    assert_caps(&headers);
    let _ = (read.correlation_id().is_ok(), read.position().is_ok(), read.code(), read.claim());
    // Each byte that is no text takes three.
    assert!(read.error_message().len() <= 3 * Caps::default().bytes);
    assert_eq!(read.take_application().reserved(), None);
}

/// What is signed is genuine; what was changed, or signed by somebody else, is not.
pub(crate) fn signature(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let (key, payload) = (pieces.piece(), pieces.piece());
    let (at, flip) = (usize::from(pieces.byte()), pieces.byte());
    let headers = pieces.headers();
    if RequestHeaders::read(raw(&headers), Caps::default()).is_err() {
        return;
    }
    let check = |headers: &[Owned], payload: &[u8]| {
        let read = RequestHeaders::read(raw(headers), UNBOUNDED).expect("no caps");
        INTEGRITY.check_request(&read, "quotes", Some(key), Some(payload))
    };
    assert!(check(&headers, payload).is_err(), "a signature was guessed");
    let mut block = OwnedHeaders::new();
    for (name, value) in raw(&headers) {
        let Ok(key) = std::str::from_utf8(name) else { return };
        block = block.insert(Header { key, value });
    }
    let block = INTEGRITY.sign_request(block, "quotes", Some(key), Some(payload));
    let header = |h: Header<'_, &[u8]>| (h.key.as_bytes().to_vec(), h.value.map(<[u8]>::to_vec));
    let signed: Vec<Owned> = block.iter().map(header).collect();
    assert_eq!(check(&signed, payload), Ok(()));
    let mut changed = payload.to_vec();
    if let Some(byte) = changed.get_mut(at)
        && flip != 0
    {
        *byte ^= flip;
        assert!(check(&signed, &changed).is_err());
    }
}

const UNBOUNDED: Caps = Caps { count: usize::MAX, bytes: usize::MAX };

static INTEGRITY: LazyLock<Arc<Integrity>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    std::fs::write(&path, [b'k'; 32]).expect("a file");
    let keys = vec![format!("a=file:{}", path.display())];
    let settings = IntegritySettings { sign_with: "a".to_owned(), keys };
    Integrity::load(&settings, "fuzz").expect("a key").expect("integrity is on")
});

fn assert_caps(headers: &[Owned]) {
    let bytes = |(name, value): &Owned| name.len() + value.as_ref().map_or(0, Vec::len);
    assert!(headers.len() <= Caps::default().count);
    assert!(headers.iter().map(bytes).sum::<usize>() <= Caps::default().bytes);
}
