//! Measurements on real Kafka that take too long for the test suites: `make million` and
//! `make flood`. Each prints one JSON object, and fails if what it measures breaks its bound.
//!
//! | module | what it holds |
//! |---|---|
//! | `million` | what a call that waits costs, and that all of a million end |
//! | `flood` | calls go on, and none is answered wrongly, under a flood of forged replies |
//! | `role` | this program as another process: `replier`, `holder` and `forger` are such roles |
//! | `memory` | bytes on the heap, and of the process |

mod flood;
mod forger;
mod holder;
mod memory;
mod million;
mod replier;
mod role;

use std::error::Error;

/// What a measurement, or a role, may end with.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["million"] => million::run(),
        ["flood"] => flood::run(),
        ["replier", bootstrap, topic] => replier::run(bootstrap, topic),
        ["holder", bootstrap, topic, replies, requests] => {
            holder::run(bootstrap, topic, replies, requests.parse()?)
        }
        ["forger", bootstrap, topic, instance] => forger::run(bootstrap, topic, instance),
        _ => Err("give the measurement: cargo bench --bench soak -- million, or … -- flood".into()),
    }
}
