//! Judges a history: a pure function, with one file for each guarantee.
//!
//! Begin with [`check`]. Each guarantee's file says what it looks for and what it leaves alone.

mod bounds;
mod commits;
mod completion;
mod cross_talk;
mod dedupe;
mod destinations;
mod drain;
mod excuses;
mod flow;
mod guarantee;
mod holders;
mod index;
mod isolation;
mod limits;
mod lost;
mod order;
mod outcome;
mod places;
mod recovery;
#[cfg(test)]
mod seeded;
mod starts;
mod verdict;
mod violations;

pub use flow::{Flow, Second};
pub use guarantee::Guarantee;
pub use limits::{Limits, Order};
pub use recovery::Window;
pub use verdict::{Counts, Verdict};
pub use violations::{Record, Violation};

use crate::history::History;
use index::Index;
use violations::Violations;

/// What a run has proven: each violation of a guarantee, the counts, and the figures of each fault.
/// Takes time in proportion to the events (and their logarithm, for sorting).
///
/// ```
/// use antiphon_chaos::checker::{Guarantee, Limits, check};
/// use antiphon_chaos::history::{Event, History, Id, Kind};
///
/// let id = Id(1);
/// let event = |at_us, event| Event { at_us, process: "requester-1".into(), event };
/// let history = History::of([
///     event(0, Kind::Started),
///     event(1, Kind::Invoke { id, deadline_us: 1_000_000, payload_hash: 7 }),
///     event(2, Kind::Stopped),
/// ]);
/// let verdict = check(&history, &Limits::default());
/// assert_eq!(verdict.violations[0].guarantee, Guarantee::Completion);
/// ```
#[must_use]
pub fn check(history: &History, limits: &Limits) -> Verdict {
    let index = Index::new(history, limits);
    let mut found = Violations::new(history);
    completion::check(&index, limits, &mut found);
    cross_talk::check(&index, &mut found);
    outcome::check(&index, &mut found);
    let lost = lost::check(&index, &mut found);
    commits::check(&index, &lost, &mut found);
    holders::check(&index, limits, &mut found);
    starts::check(&index, limits, &mut found);
    dedupe::check(&index, limits, &mut found);
    bounds::check(&index, limits, &mut found);
    let flow = Flow::of(&index);
    isolation::check(&index, &flow, limits, &mut found);
    drain::check(&index, limits, &mut found);
    order::check(&index, limits, &mut found);
    destinations::check(&index, limits, &mut found);
    let windows = recovery::check(&index, &flow, &lost, limits, &mut found);
    Verdict::new(&index, limits, &lost, flow, windows, found)
}
