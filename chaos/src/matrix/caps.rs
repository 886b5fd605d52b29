//! What each kind of process may hold at the most.

use std::collections::BTreeMap;

use antiphon_chaos::history::Gauge;

/// By the beginning of a process' name: the defaults of the settings that cap it, or of what such a
/// process takes, with room.
pub(super) fn caps() -> BTreeMap<String, Gauge> {
    let requester = Gauge {
        in_flight: Some(1_000_000),
        memory_bytes: Some(256 << 20),
        fds: Some(100),
        ..Gauge::default()
    };
    // A third client asks where the logs end while partitions are new.
    let replier = Gauge { in_flight: Some(20_000), fds: Some(150), ..requester };
    // A process with several requesters at once.
    let newcomers = Gauge { fds: Some(1_000), ..requester };
    let caps = [("requester", requester), ("replier", replier), ("newcomers", newcomers)];
    caps.map(|(name, caps)| (name.to_owned(), caps)).into()
}
