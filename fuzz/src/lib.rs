//! Fuzz targets: each takes any bytes for what a stranger wrote, and panics if something comes out that
//! must not. `make fuzz` lets libFuzzer make the bytes up; `tests/corpus.rs` gives each target what was
//! found so far, which is in `corpus/TARGET`.
//!
//! | module | what it holds |
//! |---|---|
//! | `pieces` | how bytes become header blocks and the like |
//! | `targets` | the targets, by what they read |

mod pieces;
mod targets;

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every target with its name, which is also that of its folder in the corpus.
pub const TARGETS: [(&str, Target); 18] = [
    ("avro", targets::payloads::avro),
    ("config", targets::config::read),
    ("dead_letter", targets::failures::dead_letter),
    ("deadline", targets::values::deadline),
    ("envelope", targets::envelope::opening),
    ("environment", targets::config::environment),
    ("gaps", targets::replier::gaps),
    ("ids", targets::values::ids),
    ("incoming", targets::replier::incoming),
    ("json", targets::payloads::json),
    ("kept", targets::replier::kept),
    ("packed", targets::packed::items),
    ("reply_headers", targets::headers::reply),
    ("reply_to", targets::replier::reply_to),
    ("request_headers", targets::headers::request),
    ("retry", targets::failures::retry),
    ("signature", targets::headers::signature),
    ("ticket", targets::values::ticket),
];

/// The target of this name.
#[must_use]
pub fn named(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
