//! What a row of the matrix is: a fault, what it needs, and what may come of it.

use antiphon_chaos::checker::{Limits, Verdict};
use antiphon_chaos::history::Class;

use super::caps::caps;
use super::stage::{Setup, Stage};
use crate::Outcome;

/// A row.
pub(super) struct Row {
    pub(super) number: u32,
    /// Tells it from other rows of its number.
    pub(super) variant: &'static str,
    pub(super) name: &'static str,
    pub(super) setup: fn(&mut Setup),
    /// Injects and heals.
    pub(super) fault: fn(&mut Stage<'_>) -> Outcome,
    pub(super) needs: Needs,
    pub(super) errors: Errors,
    /// The only kinds of errors that calls may end with; any, if there are none.
    pub(super) codes: &'static [&'static str],
    pub(super) duplicates: Duplicates,
    /// What processes must have counted of themselves.
    pub(super) counted: &'static [&'static str],
    /// What the row is judged by besides.
    pub(super) asks: fn(&mut Limits),
}

/// What a row needs that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// A network namespace.
    Namespace,
}

/// Whether a request may be handled more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    None,
    Allowed,
    /// At least one must be: or the fault was not where it should have been.
    Some,
}

/// Whether calls may end, or must end, with errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errors {
    /// Every call is answered.
    None,
    /// Calls may end with typed errors.
    Allowed,
    /// Some must: a fault that nobody notices was none.
    Some,
    /// Some must, and all of those that were not sent are told so.
    NotSent,
}

impl Row {
    /// A row in which every call is answered, and no request is handled twice.
    pub(super) const fn new(
        number: u32,
        name: &'static str,
        fault: fn(&mut Stage<'_>) -> Outcome,
    ) -> Self {
        Self {
            number,
            variant: "",
            name,
            setup: |_| {},
            fault,
            needs: Needs::Nothing,
            errors: Errors::None,
            codes: &[],
            duplicates: Duplicates::None,
            counted: &[],
            asks: |_| {},
        }
    }

    /// One of several rows of its number.
    pub(super) const fn variant(self, variant: &'static str) -> Self {
        Self { variant, ..self }
    }

    /// The number, and the variant if there is one: the name of its topic and its folder.
    pub(super) fn id(&self) -> String {
        match self.variant {
            "" => self.number.to_string(),
            variant => format!("{}-{variant}", self.number),
        }
    }

    /// What the machine must have.
    pub(super) const fn needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    /// What may become of calls.
    pub(super) const fn errors(self, errors: Errors) -> Self {
        Self { errors, ..self }
    }

    /// Whether it is meant by this, which is its name or its number.
    pub(super) fn is(&self, wanted: &str) -> bool {
        self.id() == wanted || self.number.to_string() == wanted
    }

    /// No other kinds of errors than these.
    pub(super) const fn codes(self, codes: &'static [&'static str]) -> Self {
        Self { codes, ..self }
    }

    /// What was handled may be handled again.
    pub(super) const fn duplicates(self) -> Self {
        Self { duplicates: Duplicates::Allowed, ..self }
    }

    /// Something must be handled again.
    pub(super) const fn handled_again(self) -> Self {
        Self { duplicates: Duplicates::Some, ..self }
    }

    /// What processes must have counted of themselves.
    pub(super) const fn counted(self, counted: &'static [&'static str]) -> Self {
        Self { counted, ..self }
    }

    /// What the row is judged by besides.
    pub(super) const fn asks(self, asks: fn(&mut Limits)) -> Self {
        Self { asks, ..self }
    }

    /// What the row changes of its stage.
    pub(super) const fn setup(self, setup: fn(&mut Setup)) -> Self {
        Self { setup, ..self }
    }

    /// What a row of this kind is judged by.
    pub(super) fn limits(&self, topic: &str) -> Limits {
        let mut limits = Limits {
            caps: caps(),
            // What was handled may have to be handled again where the row says so.
            clean_drain: self.duplicates == Duplicates::None,
            reply_topics: vec![format!("{topic}.replies")],
            ..Limits::default()
        };
        (self.asks)(&mut limits);
        limits
    }

    /// What is wrong with this verdict; nothing if the row came out as it should.
    pub(super) fn judge(&self, verdict: &Verdict) -> Vec<String> {
        let mut wrong: Vec<String> = verdict
            .broken
            .iter()
            .map(|(guarantee, count)| format!("{count} violations of {guarantee}"))
            .collect();
        let counts = &verdict.counts;
        let mut none = |count: usize, what: &str| {
            if count > 0 {
                wrong.push(format!("{count} {what}"));
            }
        };
        match self.duplicates {
            Duplicates::None => none(counts.duplicates, "handled twice"),
            Duplicates::Allowed => {}
            Duplicates::Some => none(usize::from(counts.duplicates == 0), "fault without effect"),
        }
        for what in self.counted.iter().filter(|what| !counts.counted.contains_key(**what)) {
            none(1, &format!("fault of which nobody counted `{what}`"));
        }
        for (code, count) in &counts.codes {
            if !self.codes.is_empty() && !self.codes.contains(&code.as_str()) {
                none(*count, &format!("errors of kind `{code}`"));
            }
        }
        let not_sent = counts.errors.get(&Class::NotSent).copied().unwrap_or_default();
        let failed: usize = counts.errors.values().sum();
        match self.errors {
            Errors::None => none(failed, "errors"),
            Errors::Allowed => {}
            Errors::Some => none(usize::from(failed == 0), "fault that nobody noticed"),
            Errors::NotSent => none(usize::from(not_sent == 0), "fault without `NotSent`"),
        }
        none(usize::from(counts.answered == 0), "row without an answer");
        none(usize::from(verdict.faults.is_empty()), "row without a fault");
        wrong
    }
}

#[cfg(test)]
mod tests {
    use antiphon_chaos::checker::check;
    use antiphon_chaos::history::{Event, History, Id, Kind};

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn row(errors: Errors) -> Row {
        Row::new(0, "none", |_| Ok(())).errors(errors)
    }

    /// Ten calls a second, a fault of one second that nobody feels, and `more`.
    fn verdict(row: &Row, more: Vec<Kind>) -> Verdict {
        let mut events = Vec::new();
        let mut add = |at_us, process: &str, event| {
            events.push(Event { at_us, process: process.to_owned(), event });
        };
        add(0, "requester-1", Kind::Started);
        add(0, "replier-1", Kind::Started);
        for number in 0..200_u64 {
            let (id, at) = (Id(number.into()), number * SECOND / 10);
            let (topic, partition) = ("t".to_owned(), 0);
            let offset = i64::try_from(number).expect("small");
            let deadline_us = at + SECOND;
            add(at, "requester-1", Kind::Invoke { id, deadline_us, payload_hash: number });
            add(at + 1, "witness", Kind::Acked { id, topic, partition, offset, item: 0 });
            add(at + 2, "replier-1", Kind::Effect { id });
            add(at + 4, "requester-1", Kind::Ok { id, payload_hash: number });
        }
        let named = || "0".to_owned();
        add(9 * SECOND, "faults", Kind::FaultStart { row: named(), name: named() });
        add(10 * SECOND, "faults", Kind::FaultStop { row: named() });
        for event in more {
            add(11 * SECOND, "replier-1", event);
        }
        add(30 * SECOND, "requester-1", Kind::Stopped);
        add(30 * SECOND, "replier-1", Kind::Stopped);
        check(&History::of(events), &row.limits("t"))
    }

    #[test]
    fn a_row_passes_only_as_expected() {
        let quiet = row(Errors::None);
        assert_eq!(quiet.judge(&verdict(&quiet, Vec::new())), Vec::<String>::new());
        for errors in [Errors::Some, Errors::NotSent] {
            let row = row(errors);
            assert_eq!(row.judge(&verdict(&row, Vec::new())).len(), 1, "{errors:?}");
        }
    }

    #[test]
    fn a_row_that_demands_something_fails_without() {
        let row = row(Errors::None);
        let found = verdict(&row, Vec::new());
        let again = Row::new(0, "none", |_| Ok(())).handled_again();
        assert_eq!(again.judge(&found), ["1 fault without effect"]);
        let counted = Row::new(0, "none", |_| Ok(())).counted(&["deleted"]);
        assert_eq!(counted.judge(&found), ["1 fault of which nobody counted `deleted`"]);
        let count = Kind::Counted { what: "deleted".to_owned(), count: 2 };
        assert_eq!(counted.judge(&verdict(&row, vec![count])), Vec::<String>::new());
    }

    #[test]
    fn errors_of_other_kinds_than_the_row_names_are_wrong() {
        let typed = row(Errors::Allowed).codes(&["timeout"]);
        let mut found = verdict(&typed, Vec::new());
        found.counts.codes = [("timeout".to_owned(), 3), ("Strange".to_owned(), 1)].into();
        assert_eq!(typed.judge(&found), ["1 errors of kind `Strange`"]);
    }

    #[test]
    fn what_the_checker_finds_is_wrong_and_so_is_what_happened_twice() {
        let row = row(Errors::None);
        let twice = verdict(&row, vec![Kind::Effect { id: Id(3) }]);
        assert_eq!(row.judge(&twice), ["1 handled twice"]);
        let reply = Kind::ReplyAcked { id: Id(3), topic: "elsewhere".to_owned(), partition: 0 };
        let astray = row.judge(&verdict(&row, vec![reply]));
        assert_eq!(astray, ["1 violations of G14 destinations"]);
    }
}
