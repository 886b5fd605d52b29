//! What a replier reads: requests, and what it or somebody else wrote down for it.

use antiphon_replier::fuzzing::{self, Forged};
use antiphon_replier::{ReplyPolicy, ReplyRefused};

use crate::pieces::Pieces;

/// A whole record, from its headers to a request, a retry record or a dead letter.
pub(crate) fn incoming(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let kind = pieces.byte();
    let created = if kind & 16 == 0 { -1 } else { pieces.number().cast_signed() };
    let mut piece = |bit: u8| {
        let piece = pieces.piece().to_vec();
        (kind & bit == 0).then_some(piece)
    };
    let (key, payload) = (piece(1), piece(2));
    let headers = (kind & 4 == 0).then(|| pieces.headers());
    fuzzing::take_in(&Forged { retried: kind & 8 != 0, created, key, payload, headers });
}

/// The metadata of committed offsets.
pub(crate) fn gaps(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let next = pieces.number().cast_signed().max(0);
    fuzzing::decode_gaps(next, pieces.rest());
}

/// Replies that are kept, in memory or in a changelog topic.
pub(crate) fn kept(data: &[u8]) {
    fuzzing::decode_kept(data);
}

/// A reply topic, against patterns that allow some.
pub(crate) fn reply_to(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let pattern = String::from_utf8_lossy(pieces.piece()).into_owned();
    let Ok(topic) = std::str::from_utf8(pieces.rest()) else { return };
    let Ok(policy) = ReplyPolicy::new(&["quotes".into(), "orders".into()], &[pattern]) else {
        return;
    };
    let checked = policy.check("quotes", topic);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let named = (1..=249).contains(&topic.len()) && topic.bytes().all(legal);
    if !named || topic == "." || topic == ".." {
        assert_eq!(checked, Err(ReplyRefused::Malformed));
    }
    let forbidden = topic.starts_with('_')
        || ["quotes", "orders"].contains(&topic)
        || [".dlq", ".dlt", "-dlt", ".retry.1"].iter().any(|end| topic.ends_with(end));
    assert!(!forbidden || checked.is_err(), "{topic:?}");
}
