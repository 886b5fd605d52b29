//! What a history says of each call and each process, found in one pass.

use std::collections::{BTreeMap, HashMap};

use super::Limits;
use super::excuses::Excuses;
use super::places::Place;
use crate::history::{Event, History, Id, Kind};

/// The place of an event in the history: whatever has the smaller number came first.
pub(super) type At = usize;

/// How far behind an auditor may be with a topic that is deleted.
const UNREAD_US: u64 = 1_000_000;

/// What a history says of each call and each process.
pub(super) struct Index<'a> {
    pub(super) events: &'a [Event],
    /// In the order in which they first appear.
    pub(super) calls: Vec<Call>,
    pub(super) processes: HashMap<&'a str, Process>,
    pub(super) excuses: Excuses<'a>,
    /// Whether anybody wrote down replies, commits, or assignments: without them some guarantees
    /// cannot be judged.
    pub(super) has_replies: bool,
    pub(super) has_commits: bool,
    pub(super) has_assignments: bool,
    /// Whether processes wrote down which of their commits were taken.
    pub(super) has_told: bool,
    /// Up to which offset each partition was deleted.
    deleted: HashMap<(&'a str, i32), i64>,
    /// From when until when a reply topic was not there.
    gone: Vec<(&'a str, u64, u64)>,
    pub(super) torn: usize,
}

/// Where the events of one call are.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: Id,
    pub(super) invokes: Vec<At>,
    pub(super) acks: Vec<At>,
    /// `ok` and `err`.
    pub(super) ends: Vec<At>,
    pub(super) starts: Vec<At>,
    pub(super) effects: Vec<At>,
    pub(super) replies: Vec<At>,
    /// `ended`.
    pub(super) visible_ends: Vec<At>,
}

/// Where the turning points of a process are.
#[derive(Debug, Default)]
pub(super) struct Process {
    pub(super) started: Option<At>,
    pub(super) draining: Option<At>,
    pub(super) stopped: Option<At>,
    pub(super) killed: Option<At>,
    /// Its last event.
    pub(super) last: At,
    pub(super) handles: bool,
}

impl<'a> Index<'a> {
    pub(super) fn new(history: &'a History, limits: &Limits) -> Self {
        let events = history.events();
        let mut index = Self {
            events,
            calls: Vec::new(),
            processes: HashMap::new(),
            excuses: Excuses::of(events, limits.wake_us),
            has_replies: false,
            has_commits: false,
            has_assignments: false,
            has_told: false,
            deleted: HashMap::new(),
            gone: Vec::new(),
            torn: history.torn(),
        };
        let mut numbers: HashMap<Id, usize> = HashMap::new();
        for (at, event) in events.iter().enumerate() {
            index.note_process(at, event);
            index.note_topic(event, limits);
            if let Some(id) = event.event.id() {
                let number = *numbers.entry(id).or_insert_with(|| {
                    index.calls.push(Call::new(id));
                    index.calls.len() - 1
                });
                index.calls[number].note(at, &event.event);
            }
        }
        index
    }

    pub(super) fn time(&self, at: At) -> u64 {
        self.events[at].at_us
    }

    pub(super) fn process(&self, at: At) -> &'a str {
        &self.events[at].process
    }

    /// When the call must have ended. `None` if nobody made it.
    pub(super) fn deadline(&self, call: &Call) -> Option<u64> {
        match self.events[*call.invokes.first()?].event {
            Kind::Invoke { deadline_us, .. } => Some(deadline_us),
            _ => None,
        }
    }

    /// Whether this was later than allowed, when what the process was not given is left out.
    pub(super) fn is_late(&self, at: At, deadline_us: u64, slack_us: u64) -> bool {
        let time = self.time(at);
        self.is_over(self.process(at), deadline_us, slack_us, time)
    }

    /// Whether the deadline, and the slack, had passed for that process by that time.
    pub(super) fn is_over(
        &self,
        process: &str,
        deadline_us: u64,
        slack_us: u64,
        time: u64,
    ) -> bool {
        let late = time.saturating_sub(deadline_us);
        late > slack_us && late > slack_us + self.excuses.between(process, deadline_us, time)
    }

    /// What all processes together have counted of something.
    pub(super) fn counted(&self, what: &str) -> u64 {
        self.counts().get(what).copied().unwrap_or_default()
    }

    /// What all processes together have counted, by what it is.
    pub(super) fn counts(&self) -> BTreeMap<String, u64> {
        let mut last: HashMap<(&str, &str), u64> = HashMap::new();
        for event in self.events {
            if let Kind::Counted { what, count } = &event.event {
                last.insert((&event.process, what), *count);
            }
        }
        let mut counts = BTreeMap::new();
        for ((_, what), count) in last {
            *counts.entry(what.to_owned()).or_default() += count;
        }
        counts
    }

    /// Whether its request was deleted before anybody had it.
    pub(super) fn is_deleted(&self, call: &Call) -> bool {
        self.deleted_at(call).is_some()
    }

    /// Where its request lay that was deleted before anybody had it.
    pub(super) fn deleted_at(&self, call: &Call) -> Option<Place<'a>> {
        if !call.starts.is_empty() || !call.effects.is_empty() {
            return None;
        }
        call.acks.iter().find_map(|at| match &self.events[*at].event {
            Kind::Acked { topic, partition, offset, .. } => {
                let before = self.deleted.get(&(topic.as_str(), *partition))?;
                (offset < before).then_some((topic.as_str(), *partition, *offset))
            }
            _ => None,
        })
    }

    /// Whether it was handled when there was no topic for its reply, or when the topic with its reply
    /// was just about to be deleted, unread by the auditor.
    pub(super) fn is_unanswerable(&self, call: &Call) -> bool {
        call.effects.iter().any(|at| {
            let time = self.time(*at);
            self.gone.iter().any(|(_, from, until)| time + UNREAD_US >= *from && time <= *until)
        })
    }

    fn note_topic(&mut self, event: &'a Event, limits: &Limits) {
        match &event.event {
            Kind::Deleted { topic, partition, before } => {
                let known = self.deleted.entry((topic, *partition)).or_insert(*before);
                *known = (*known).max(*before);
            }
            Kind::TopicDeleted { topic } if limits.reply_topics.contains(topic) => {
                self.gone.push((topic, event.at_us, u64::MAX));
            }
            Kind::TopicMade { topic } => {
                for (gone, _, until) in &mut self.gone {
                    if gone == topic && *until == u64::MAX {
                        *until = event.at_us;
                    }
                }
            }
            _ => {}
        }
    }

    fn note_process(&mut self, at: At, event: &'a Event) {
        let process = self.processes.entry(&event.process).or_default();
        process.last = at;
        match &event.event {
            Kind::Started => process.started = Some(at),
            Kind::Draining => process.draining = Some(at),
            Kind::Stopped => process.stopped = Some(at),
            Kind::HandlerStart { .. } => process.handles = true,
            Kind::Killed { victim } => {
                self.processes.entry(victim).or_default().killed = Some(at);
            }
            // The auditor says what it finds in reply topics: a visible end is one, too.
            Kind::ReplyAcked { .. } => self.has_replies = true,
            Kind::Commit { .. } => self.has_commits = true,
            Kind::Assigned { .. } => self.has_assignments = true,
            Kind::CommitTold { .. } => self.has_told = true,
            _ => {}
        }
    }
}

impl Call {
    /// The first moment at which it was answered, or visibly ended.
    pub(super) fn done(&self) -> Option<At> {
        self.replies.iter().chain(&self.visible_ends).min().copied()
    }

    /// Whether it got a reply that is not its own.
    pub(super) fn is_crossed(&self, index: &Index<'_>) -> bool {
        let Some(&invoke) = self.invokes.first() else { return false };
        let Kind::Invoke { payload_hash: own, .. } = index.events[invoke].event else {
            return false;
        };
        self.ends.iter().any(|end| {
            matches!(index.events[*end].event, Kind::Ok { payload_hash, .. } if payload_hash != own)
        })
    }

    fn new(id: Id) -> Self {
        Self {
            id,
            invokes: Vec::new(),
            acks: Vec::new(),
            ends: Vec::new(),
            starts: Vec::new(),
            effects: Vec::new(),
            replies: Vec::new(),
            visible_ends: Vec::new(),
        }
    }

    fn note(&mut self, at: At, kind: &Kind) {
        match kind {
            Kind::Invoke { .. } => self.invokes.push(at),
            Kind::Acked { .. } => self.acks.push(at),
            Kind::Ok { .. } | Kind::Err { .. } => self.ends.push(at),
            Kind::HandlerStart { .. } => self.starts.push(at),
            Kind::Effect { .. } => self.effects.push(at),
            Kind::ReplyAcked { .. } => self.replies.push(at),
            Kind::Ended { .. } => self.visible_ends.push(at),
            _ => {}
        }
    }
}
