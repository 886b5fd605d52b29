//! Repliers: partitions that they take in, commit, and lose in good order and otherwise.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_common::wire::{deadline_millis, names};
use antiphon_replier::simulated::{Committed, Dedupe, Held, Load};
use rdkafka::message::{Headers, Message, OwnedMessage};

use crate::asking::echoed;
use crate::bug::Bug;
use crate::kafka::{Record, message};
use crate::ledger::Checked;
use crate::work::{Stage, Work};
use crate::world::{Event, MEMBERS, PARTITIONS, World};

/// Far more than it takes to finish what runs when a partition is given up.
const PATIENCE: usize = 10_000;

/// A request in the log, and what became of it.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) record: OwnedMessage,
    pub(crate) identity: String,
    pub(crate) deadline: u64,
    pub(crate) effects: u32,
    /// It came too late, or was answered without being run.
    pub(crate) passed_over: bool,
    pub(crate) replied: bool,
}

#[derive(Debug)]
pub(crate) struct Member {
    /// How far its machine's clock is off, in milliseconds.
    pub(crate) skew: i64,
    load: Load,
    pub(crate) held: BTreeMap<usize, Assigned>,
    pub(crate) works: BTreeMap<u64, Work>,
}

#[derive(Debug)]
pub(crate) struct Assigned {
    held: Held,
    position: usize,
    generation: u64,
    pub(crate) revoked: bool,
    /// What its window knows to have ended, and what runs.
    pub(crate) known: BTreeSet<String>,
    pub(crate) running: BTreeSet<String>,
}

impl Member {
    pub(crate) fn new(skew: i64) -> Self {
        Self { skew, load: Load::none(), held: BTreeMap::new(), works: BTreeMap::new() }
    }
}

impl World {
    pub(crate) fn append_request(&mut self, partition: usize, record: Record) -> Checked {
        let number = i32::try_from(partition).expect("few");
        let log = &mut self.requests[partition];
        let record = message("requests", number, log.len(), record);
        let id = echoed(&record).expect("requests have an id");
        let identity = text(&record, names::IDEMPOTENCY_KEY).unwrap_or_else(|| format!("{id:?}"));
        let deadline =
            text(&record, names::DEADLINE).and_then(|text| deadline_millis(text.as_bytes()));
        log.push(Logged {
            record,
            identity,
            deadline: deadline.expect("requests have a deadline"),
            effects: 0,
            passed_over: false,
            replied: false,
        });
        self.count("request in the log");
        self.ledger.appended(id.try_into().expect("16 bytes"))
    }

    /// A poll brings some records of one partition.
    pub(crate) fn fetch(&mut self, member: usize) -> Checked {
        let wait = self.random.u64(1..12);
        self.after(wait, Event::Fetch { member });
        let partition = self.random.usize(..PARTITIONS);
        let (count, clocks) = (self.random.usize(1..4), self.clocks(self.members[member].skew));
        let Some(of) = self.members[member].held.get_mut(&partition) else { return Ok(()) };
        if of.revoked {
            return Ok(());
        }
        let log = &self.requests[partition];
        let mut taken = Vec::new();
        for logged in log.iter().skip(of.position).take(count) {
            of.position += 1;
            taken.extend(of.held.take(&logged.record, clocks));
        }
        for request in taken {
            self.serial += 1;
            let work = self.serial;
            let began = Work::new(partition, request);
            self.members[member].works.insert(work, began);
            let soon = self.random.u64(..20);
            self.after(soon, Event::Step { member, work });
        }
        Ok(())
    }

    pub(crate) fn commit(&mut self, member: usize) -> Checked {
        let wait = self.random.u64(5..60);
        self.after(wait, Event::Commit { member });
        let partition = self.random.usize(..PARTITIONS);
        let Some(of) = self.members[member].held.get(&partition) else { return Ok(()) };
        if of.revoked {
            return Ok(());
        }
        let (held, generation) = (of.held.clone(), of.generation);
        let Some(commit) = held.take_risen() else { return Ok(()) };
        if !self.calm && self.random.u8(..4) == 0 {
            // The broker may have it, and its answer is lost.
            self.count("commit lost");
            if self.random.bool() {
                let _ = self.store(member, partition, generation, &commit)?;
            }
            held.put_back();
        } else if self.store(member, partition, generation, &commit)? {
            held.committed(&commit);
        } else {
            held.put_back();
        }
        Ok(())
    }

    /// What the group does with a commit: it takes those of the partition's owner.
    fn store(
        &mut self,
        member: usize,
        partition: usize,
        generation: u64,
        commit: &Committed,
    ) -> Result<bool, String> {
        if self.owners[partition] != Some((member, generation)) {
            return Ok(false);
        }
        self.note(&("member", member, "commits", partition, commit));
        let before = self.committed[partition].as_ref().map_or(0, |before| before.next);
        if commit.next < before {
            return Err(format!("G5: {partition} goes back from {before} to {commit:?}"));
        }
        let upto = usize::try_from(commit.next).expect("not negative");
        let log = self.requests[partition].iter().take(upto);
        if let Some(open) = log.enumerate().find(|(_, of)| !of.replied) {
            return Err(format!("G5: {} of {partition} is not answered: {commit:?}", open.0));
        }
        self.committed[partition] = Some(commit.clone());
        Ok(true)
    }

    /// Partitions move to other members, which first let go of them in good order.
    pub(crate) fn rebalance(&mut self) -> Checked {
        self.generation += 1;
        for partition in 0..PARTITIONS {
            let to = self.random.usize(..MEMBERS);
            match self.owners[partition] {
                Some((owner, _)) if owner == to => continue,
                Some((owner, _)) => self.revoke(owner, partition)?,
                None => {}
            }
            self.assign(to, partition);
            self.count("partition moved");
        }
        Ok(())
    }

    fn revoke(&mut self, member: usize, partition: usize) -> Checked {
        let Some(of) = self.members[member].held.get_mut(&partition) else { return Ok(()) };
        of.revoked = true;
        let (held, generation) = (of.held.clone(), of.generation);
        held.revoke();
        self.note(&("member", member, "gives up", partition));
        // What runs has time to end, or not all of it.
        let patient = self.calm || self.random.bool();
        for _ in 0..PATIENCE {
            let runs = |work: &Work| work.partition == partition && work.stage.has_started();
            let works = &self.members[member].works;
            let Some(work) = works.iter().find(|(_, work)| runs(work)) else { break };
            let work = *work.0;
            if !patient && self.random.u8(..3) == 0 {
                self.count("moved amid work");
                break;
            }
            self.hurry(member, work)?;
        }
        if self.bug == Bug::LostOnRevoke {
            for work in self.members[member].works.values_mut() {
                if work.partition == partition {
                    let at = usize::try_from(work.request.offset()).expect("not negative");
                    self.requests[partition][at].replied = true;
                    work.request.mark_complete();
                }
            }
        }
        if let Some(commit) = held.committable() {
            let _ = self.store(member, partition, generation, &commit)?;
        }
        self.drop_held(member, partition);
        Ok(())
    }

    fn assign(&mut self, member: usize, partition: usize) {
        // A member that does not know yet that it lost the partition hears of it now.
        self.drop_held(member, partition);
        let from = self.committed[partition].clone();
        let number = i32::try_from(partition).expect("few");
        let held = Held::new(number, from.as_ref(), self.dedupe, &self.members[member].load);
        let mut known = BTreeSet::new();
        if matches!(self.dedupe, Dedupe::Durable { .. }) {
            for record in &self.changelog[partition] {
                held.restore(record);
                let identity = self.identities[&record.key].clone();
                match record.value {
                    Some(_) => known.insert(identity),
                    None => known.remove(&identity),
                };
            }
        }
        held.restored();
        let next = from.map_or(0, |from| from.next);
        let position = usize::try_from(next).expect("not negative");
        let generation = self.generation;
        self.owners[partition] = Some((member, generation));
        let (revoked, running) = (false, BTreeSet::new());
        let of = Assigned { held, position, generation, revoked, known, running };
        self.members[member].held.insert(partition, of);
        self.note(&("member", member, "has", partition, "from", position));
    }

    /// A member is gone, with all that it knew, and another begins in its place.
    pub(crate) fn crash_member(&mut self) -> Checked {
        let member = self.random.usize(..MEMBERS);
        self.count("replier crashed");
        self.note(&("member", member, "crashes"));
        self.members[member] = Member::new(self.members[member].skew);
        self.give_away(member);
        Ok(())
    }

    /// The group takes a member for dead, which it is not: it goes on until it is told.
    pub(crate) fn expel(&mut self) -> Checked {
        let member = self.random.usize(..MEMBERS);
        self.count("zombie");
        self.note(&("member", member, "is expelled"));
        self.give_away(member);
        Ok(())
    }

    fn give_away(&mut self, member: usize) {
        self.generation += 1;
        for partition in 0..PARTITIONS {
            if self.owners[partition].is_some_and(|(owner, _)| owner == member) {
                self.assign((member + 1) % MEMBERS, partition);
            }
        }
    }

    /// The member hears that it has lost what others own.
    pub(crate) fn end_zombie(&mut self, member: usize) -> Checked {
        let owns = |partition: usize| self.owners[partition].is_some_and(|it| it.0 == member);
        let held = self.members[member].held.keys().copied();
        let lost: Vec<usize> = held.filter(|partition| !owns(*partition)).collect();
        for partition in lost {
            self.revoke(member, partition)?;
        }
        Ok(())
    }

    fn drop_held(&mut self, member: usize, partition: usize) {
        let member = &mut self.members[member];
        if let Some(of) = member.held.remove(&partition) {
            of.held.revoke();
            of.held.release();
        }
        member.works.retain(|_, work| work.partition != partition);
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        let all = self.requests.iter().zip(&self.committed);
        let mut ends = all.map(|(log, at)| (log.len() as i64, at.as_ref().map_or(0, |at| at.next)));
        self.ledger.is_idle() && ends.all(|(end, next)| end == next) && !self.is_anything_sent()
    }

    pub(crate) fn at_rest(&self) -> Checked {
        for (partition, log) in self.requests.iter().enumerate() {
            for (offset, of) in log.iter().enumerate() {
                let (effects, over) = (of.effects, of.passed_over);
                if effects == 0 && !over {
                    return Err(format!("G4: {offset} of {partition} is lost"));
                }
                if self.was_calm && effects > 1 {
                    return Err(format!("G12: {offset} of {partition} ran {effects} times"));
                }
            }
        }
        for member in &self.members {
            let (held, works) = (member.load.count(), member.works.len());
            if held != works {
                return Err(format!("G10: {held} requests are held, of {works}"));
            }
        }
        Ok(())
    }

    /// Where a request of a member is in its log.
    pub(crate) fn logged(&mut self, work: &Work) -> &mut Logged {
        let at = usize::try_from(work.request.offset()).expect("not negative");
        &mut self.requests[work.partition][at]
    }

    /// Goes on until its next step would be to wait for somebody else.
    fn hurry(&mut self, member: usize, work: u64) -> Checked {
        self.hurries = true;
        let done = self.step(member, work);
        self.hurries = false;
        done
    }
}

impl Stage {
    fn has_started(&self) -> bool {
        !matches!(self, Self::Queued | Self::Waiting)
    }
}

fn text(record: &OwnedMessage, name: &str) -> Option<String> {
    let header = record.headers()?.iter().find(|header| header.key == name)?;
    header.value.map(|value| String::from_utf8_lossy(value).into_owned())
}
