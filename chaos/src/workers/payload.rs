//! What a request carries: the call's id, and what the handler is to do.

use antiphon_chaos::history::Id;
use serde::{Deserialize, Serialize};

/// What a handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deed {
    /// It echoes.
    Echo,
    /// It never ends.
    Hang,
    /// It holds a thread of the runtime.
    Block,
    /// It panics.
    Panic,
    /// It answers with more than the topic takes.
    Large,
}

const ALL: [(Deed, &str); 5] = [
    (Deed::Echo, "echo"),
    (Deed::Hang, "hang"),
    (Deed::Block, "block"),
    (Deed::Panic, "panic"),
    (Deed::Large, "large"),
];

/// The payload of a request, with so many bytes behind it that say nothing.
pub(crate) fn write(id: Id, deed: Deed, padding: usize) -> String {
    let name = ALL.iter().find(|(known, _)| *known == deed).map_or("echo", |(_, name)| name);
    format!("{id} {name}{}", " ".repeat(padding))
}

/// What it says: all but the padding.
pub(crate) fn said(payload: &[u8]) -> &[u8] {
    payload.trim_ascii_end()
}

/// Reads a payload; `None` for one that no requester of ours wrote.
pub(crate) fn read(payload: &[u8]) -> Option<(Id, Deed)> {
    let (id, name) = std::str::from_utf8(payload).ok()?.trim_end().split_once(' ')?;
    let deed = ALL.iter().find(|(_, known)| *known == name)?.0;
    Some((id.parse().ok()?, deed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for (deed, _) in ALL {
            for padding in [0, 9] {
                assert_eq!(read(write(Id(7), deed, padding).as_bytes()), Some((Id(7), deed)));
            }
        }
        for odd in [&b"\xff"[..], b"7", b"7 dance", b"x echo"] {
            assert_eq!(read(odd), None);
        }
    }
}
