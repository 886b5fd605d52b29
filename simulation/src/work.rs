//! One request on its way through a replier, a step at a time.

use antiphon_common::{Code, Status};
use antiphon_replier::simulated::{Dedupe, Next, Request, Written};
use bytes::Bytes;

use crate::bug::Bug;
use crate::kafka::{Record, Way};
use crate::ledger::Checked;
use crate::world::{Event, PARTITIONS, World};

/// A request that a member has taken in.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) partition: usize,
    pub(crate) request: Request,
    pub(crate) stage: Stage,
    /// Its answer holds for those like it.
    is_kept: bool,
}

#[derive(Debug)]
pub(crate) enum Stage {
    Queued,
    /// One like it runs.
    Waiting,
    /// Nothing keeps it from running but its deadline.
    Free,
    Running,
    /// Its answer is to be written: to the changelog first, if that is kept.
    Answering(Answer, Option<Written>),
    Acknowledged,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    payload: Bytes,
    status: Option<Status>,
}

impl Work {
    pub(crate) fn new(partition: usize, request: Request) -> Self {
        Self { partition, request, stage: Stage::Queued, is_kept: false }
    }
}

impl World {
    /// Takes a request one step on. It may be gone.
    pub(crate) fn step(&mut self, member: usize, number: u64) -> Checked {
        let Some(mut work) = self.members[member].works.remove(&number) else { return Ok(()) };
        let mut wait = self.random.u64(..40);
        let stage = std::mem::replace(&mut work.stage, Stage::Queued);
        let next = match stage {
            Stage::Queued => {
                let asks = self.bug != Bug::DedupeOff;
                let next = if asks { work.request.look_up() } else { Next::Run };
                self.go(member, &mut work, next)
            }
            Stage::Waiting => {
                let next = work.request.wait();
                self.go(member, &mut work, next)
            }
            Stage::Free => self.begin(member, &mut work)?,
            Stage::Running => self.handled(member, &mut work),
            Stage::Answering(answer, Some(written)) => {
                self.keep(&work, written);
                Some(Stage::Answering(answer, None))
            }
            Stage::Answering(answer, None) => {
                let (next, told) = self.reply(&work, answer);
                wait = told;
                Some(next)
            }
            Stage::Acknowledged => {
                self.logged(&work).replied = true;
                let identity = self.logged(&work).identity.clone();
                let of = self.members[member].held.get_mut(&work.partition);
                if let Some(of) = of.filter(|_| work.is_kept) {
                    of.known.insert(identity);
                }
                work.request.complete();
                return Ok(());
            }
        };
        if let Some(stage) = next {
            work.stage = stage;
            self.members[member].works.insert(number, work);
            self.after(wait, Event::Step { member, work: number });
        }
        Ok(())
    }

    /// What the window said.
    fn go(&mut self, member: usize, work: &mut Work, next: Next) -> Option<Stage> {
        match next {
            Next::Run => {
                let now = self.instant(self.now);
                if let Some(claim) = work.request.claim(now) {
                    self.keep(work, claim);
                }
                let _ = member;
                Some(Stage::Free)
            }
            Next::Wait => Some(Stage::Waiting),
            Next::Again(answer) => {
                self.count("dedupe hit");
                self.logged(work).passed_over = true;
                let (payload, status) = match answer {
                    Some(Ok(payload)) => (payload, None),
                    Some(Err(status)) => (work.request.payload().clone(), Some(status)),
                    None => {
                        let why = Status::new(Code::Aborted, "may have been executed before");
                        (work.request.payload().clone(), Some(why))
                    }
                };
                Some(Stage::Answering(Answer { payload, status }, None))
            }
            Next::Leave => None,
        }
    }

    /// The handler begins, unless it is too late.
    fn begin(&mut self, member: usize, work: &mut Work) -> Result<Option<Stage>, String> {
        if !work.request.start() {
            return Ok(None);
        }
        let now = self.instant(self.now);
        if work.request.is_late(now) && self.bug != Bug::DeadlineIgnored {
            self.count("expired");
            self.logged(work).passed_over = true;
            let written = work.request.end(None);
            let status = Some(Status::new(Code::DeadlineExceeded, "too late"));
            let payload = work.request.payload().clone();
            return Ok(Some(Stage::Answering(Answer { payload, status }, written)));
        }
        let of = self.logged(work);
        let (deadline, identity, offset) =
            (of.deadline, of.identity.clone(), work.request.offset());
        let partition = work.partition;
        let unix = self.clocks(self.members[member].skew).unix_millis;
        if unix >= deadline {
            return Err(format!("G6: {offset} of {partition} starts {unix}, past {deadline}"));
        }
        let dedupes = self.dedupe != Dedupe::Off;
        if let Some(of) = self.members[member].held.get_mut(&partition).filter(|_| dedupes)
            && (of.known.contains(&identity) || !of.running.insert(identity))
        {
            return Err(format!("G7: {offset} of {partition} runs, and one like it has run"));
        }
        self.note(&("member", member, "starts", offset, "of", partition));
        if self.bug == Bug::CommitBeforeReply {
            work.request.mark_complete();
        }
        Ok(Some(Stage::Running))
    }

    fn handled(&mut self, member: usize, work: &mut Work) -> Option<Stage> {
        self.serial += 1;
        let question = String::from_utf8_lossy(work.request.payload()).into_owned();
        let payload = Bytes::from(format!("{question}:{}", self.serial));
        self.count("handled");
        let of = self.logged(work);
        of.effects += 1;
        let identity = of.identity.clone();
        if let Some(of) = self.members[member].held.get_mut(&work.partition) {
            of.running.remove(&identity);
        }
        let status = match self.random.u8(..12) {
            0 => Some(Status::new(Code::Unavailable, "later")),
            1 => Some(Status::invalid_argument("never")),
            _ => None,
        };
        let undone = status.as_ref().is_some_and(|status| status.code() == Code::Unavailable);
        let answer = match &status {
            Some(_) if undone => None,
            Some(status) => Some(Err(status)),
            None => Some(Ok(&payload)),
        };
        work.is_kept = answer.is_some() && self.dedupe != Dedupe::Off;
        let written = work.request.end(answer);
        Some(Stage::Answering(Answer { payload, status }, written))
    }

    /// A record of the changelog is written, and acknowledged.
    fn keep(&mut self, work: &Work, written: Written) {
        let identity = self.logged(work).identity.clone();
        self.identities.insert(written.key.clone(), identity);
        self.changelog[work.partition].push(written);
    }

    /// The reply is sent; it is sent again until it is acknowledged.
    fn reply(&mut self, work: &Work, answer: Answer) -> (Stage, u64) {
        let headers = work.request.reply_headers(answer.status.as_ref());
        let named = work.request.reply_partition().and_then(|named| usize::try_from(named).ok());
        let partition = named.unwrap_or_else(|| self.random.usize(..PARTITIONS));
        let record = Record { key: None, payload: answer.payload.clone(), headers };
        if self.hurries {
            self.after(0, Event::Reply { partition, record });
            return (Stage::Acknowledged, 0);
        }
        let way = Way::choose(&mut self.random, self.calm);
        if way.arrivals.len() > 1 {
            self.count("reply twice");
        }
        for at in &way.arrivals {
            self.after(*at, Event::Reply { partition, record: record.clone() });
        }
        if way.acknowledged {
            return (Stage::Acknowledged, way.told);
        }
        self.count("reply again");
        (Stage::Answering(answer, None), way.told)
    }
}
