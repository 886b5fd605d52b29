//! When a process could do nothing, because it was stopped or had no processor.

use std::collections::HashMap;

use crate::history::{Event, Kind};

/// Per process, when it was stopped or starved. Promises about time hold on a machine that has time.
#[derive(Debug, Default)]
pub(super) struct Excuses<'a>(HashMap<&'a str, Vec<Span>>);

/// From and to, and how much was excused before it.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: u64,
    to: u64,
    before: u64,
}

impl<'a> Excuses<'a> {
    /// After a pause, so much more is allowed for.
    pub(super) fn of(events: &'a [Event], wake_us: u64) -> Self {
        let mut found: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
        let mut paused: HashMap<&str, u64> = HashMap::new();
        for event in events {
            match &event.event {
                Kind::Starved { for_us } => {
                    let from = event.at_us.saturating_sub(*for_us);
                    found.entry(&event.process).or_default().push((from, event.at_us));
                }
                Kind::Paused { victim } => {
                    paused.entry(victim).or_insert(event.at_us);
                }
                Kind::Resumed { victim } => {
                    if let Some(from) = paused.remove(victim.as_str()) {
                        found.entry(victim).or_default().push((from, event.at_us + wake_us));
                    }
                }
                _ => {}
            }
        }
        for (victim, from) in paused {
            found.entry(victim).or_default().push((from, u64::MAX));
        }
        Self(found.into_iter().map(|(process, spans)| (process, merged(spans))).collect())
    }

    /// How much of that time the process was stopped or starved.
    pub(super) fn between(&self, process: &str, from: u64, to: u64) -> u64 {
        self.0.get(process).map_or(0, |spans| until(spans, to) - until(spans, from.min(to)))
    }
}

/// How much was excused until then.
fn until(spans: &[Span], time: u64) -> u64 {
    let next = spans.partition_point(|span| span.from < time);
    next.checked_sub(1).map_or(0, |last| {
        let span = spans[last];
        span.before + (span.to.min(time) - span.from)
    })
}

/// In order, and without overlaps: a process that is both stopped and starved is excused once.
fn merged(mut spans: Vec<(u64, u64)>) -> Vec<Span> {
    spans.sort_unstable();
    let mut all: Vec<Span> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match all.last_mut() {
            Some(last) if from <= last.to => last.to = last.to.max(to),
            last => {
                let before = last.map_or(0, |last| last.before + (last.to - last.from));
                all.push(Span { from, to, before });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn starved(at_us: u64, for_us: u64) -> Event {
        Event { at_us, process: "p".into(), event: Kind::Starved { for_us } }
    }

    fn told(at_us: u64, event: Kind) -> Event {
        Event { at_us, process: "injector".into(), event }
    }

    proptest! {
        #[test]
        fn it_is_the_measure_of_the_union(
            spans in prop::collection::vec((0_u64..100, 0_u64..30), 0..20),
            from in 0_u64..120,
            length in 0_u64..120,
        ) {
            let events: Vec<_> = spans.iter().map(|(at, length)| starved(at + length, *length)).collect();
            let excused = Excuses::of(&events, 0).between("p", from, from + length);
            let counted = (from..from + length)
                .filter(|t| spans.iter().any(|(at, length)| (*at..at + length).contains(t)))
                .count() as u64;
            prop_assert_eq!(excused, counted);
        }
    }

    #[test]
    fn a_pause_is_the_victims_and_lasts_until_it_has_woken() {
        let victim = || "p".to_owned();
        let mut events = vec![
            told(10, Kind::Paused { victim: victim() }),
            told(20, Kind::Resumed { victim: victim() }),
        ];
        assert_eq!(Excuses::of(&events, 5).between("p", 0, 100), 15);
        assert_eq!(Excuses::of(&events, 5).between("injector", 0, 100), 0);
        events.push(told(50, Kind::Paused { victim: victim() }));
        assert_eq!(Excuses::of(&events, 5).between("p", 0, 100), 65);
    }
}
