//! The simulated log, its group, and the members that handle it.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_common::metrics::ReplierMetrics;
use fastrand::Rng;

use crate::intake::gaps;
use crate::intake::outstanding::Outstanding;
use crate::intake::tracker::{Commit, Taken, Tracker};

const PARTITIONS: usize = 3;
const MEMBERS: usize = 3;
const STEPS: usize = 600;
/// Until everything is done, once nothing goes wrong any more. Far more than it takes.
const TO_THE_END: usize = 20_000;

/// A way to be wrong, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// A request counts as complete when its handler starts.
    CommitsBeforeReply,
    /// A tracker is not told that its partition was revoked.
    StartsAfterRevoke,
    /// What a commit says of requests above its offset is not read.
    ForgetsGaps,
    /// What is left when a partition is revoked is taken for complete.
    LosesOnRevoke,
}

/// A request in the log, and what became of it.
#[derive(Debug, Default, Clone)]
struct Record {
    effects: u32,
    is_replied: bool,
}

#[derive(Debug, Default)]
struct Partition {
    log: Vec<Record>,
    committed: Option<Commit>,
    /// The member that the group gave it to, and when.
    owner: Option<(usize, u64)>,
}

/// A request that a member has taken in.
struct Work {
    partition: usize,
    taken: Taken,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    Running,
    Replying,
}

struct Held {
    tracker: Arc<Tracker>,
    /// The next offset to be fetched.
    position: usize,
    generation: u64,
    /// The member was told that the partition is not its any more.
    is_revoked: bool,
}

struct Member {
    outstanding: Arc<Outstanding>,
    held: BTreeMap<usize, Held>,
    works: Vec<Work>,
}

/// All of it. What happens next is up to the seed.
pub(super) struct World {
    random: Rng,
    bug: Bug,
    /// Nothing goes wrong but that partitions move, and what runs may end before they do.
    is_calm: bool,
    partitions: Vec<Partition>,
    members: Vec<Member>,
    generation: u64,
    pub(super) trace: Vec<String>,
    pub(super) happened: BTreeMap<&'static str, u64>,
}

type Checked = Result<(), String>;

impl World {
    pub(super) fn new(seed: u64, bug: Bug) -> Self {
        let mut random = Rng::with_seed(seed);
        Self {
            is_calm: random.u8(..4) == 0,
            random,
            bug,
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            members: (0..MEMBERS).map(|_| Member::new()).collect(),
            generation: 0,
            trace: Vec::new(),
            happened: BTreeMap::new(),
        }
    }

    /// Lets things happen, then lets everything end well, and says which guarantee was broken.
    pub(super) fn run(&mut self) -> Checked {
        self.rebalance()?;
        for _ in 0..STEPS {
            match self.random.u8(..100) {
                0..20 => self.append(),
                20..22 => self.rebalance()?,
                22..23 if !self.is_calm => self.crash(),
                23..24 if !self.is_calm => self.expel(),
                _ => self.work()?,
            }
        }
        self.note("nothing goes wrong from here on", &"");
        self.is_calm = true;
        for member in 0..MEMBERS {
            self.end_zombie(member)?;
        }
        self.rebalance()?;
        for _ in 0..TO_THE_END {
            if self.is_done() {
                return self.at_the_end();
            }
            self.work()?;
        }
        Err(format!("G4: not all is done and committed: {:?}", self.partitions))
    }

    fn append(&mut self) {
        let partition = self.random.usize(..PARTITIONS);
        self.partitions[partition].log.push(Record::default());
    }

    /// One member does one thing.
    fn work(&mut self) -> Checked {
        let member = self.random.usize(..MEMBERS);
        match self.random.u8(..10) {
            0..3 => self.fetch(member),
            3..9 => self.go_on(member)?,
            _ => self.commit(member)?,
        }
        Ok(())
    }

    fn fetch(&mut self, member: usize) {
        let partition = self.random.usize(..PARTITIONS);
        let Some(held) = self.members[member].held.get_mut(&partition) else { return };
        if held.is_revoked || held.position >= self.partitions[partition].log.len() {
            return;
        }
        let offset = i64::try_from(held.position).expect("short");
        held.position += 1;
        if let Some(taken) = held.tracker.take(offset) {
            self.members[member].works.push(Work { partition, taken, stage: Stage::Queued });
        }
    }

    /// Some request of this member gets one step on: handlers end in any order.
    fn go_on(&mut self, member: usize) -> Checked {
        let count = self.members[member].works.len();
        if count == 0 {
            return Ok(());
        }
        let which = self.random.usize(..count);
        self.advance(member, which)
    }

    fn advance(&mut self, member: usize, which: usize) -> Checked {
        let mut work = self.members[member].works.swap_remove(which);
        let offset = work.taken.offset();
        let at = (member, work.partition, offset);
        let index = usize::try_from(offset).expect("no negative offset");
        match work.stage {
            Stage::Queued => {
                let held = self.members[member].held.get(&work.partition);
                let is_revoked = held.is_none_or(|held| held.is_revoked);
                if !work.taken.start() {
                    return Ok(());
                }
                if is_revoked {
                    return Err(format!("G5: {at:?} was started after the revocation"));
                }
                self.note("starts", &at);
                if self.bug == Bug::CommitsBeforeReply {
                    work.taken.mark_complete();
                }
                work.stage = Stage::Running;
            }
            Stage::Running => {
                self.partitions[work.partition].log[index].effects += 1;
                work.stage = Stage::Replying;
            }
            Stage::Replying if !self.is_calm && self.random.u8(..5) == 0 => {
                self.count("reply again");
            }
            Stage::Replying => {
                self.partitions[work.partition].log[index].is_replied = true;
                self.note("is answered", &at);
                work.taken.complete();
                return Ok(());
            }
        }
        self.members[member].works.push(work);
        Ok(())
    }

    fn commit(&mut self, member: usize) -> Checked {
        let partition = self.random.usize(..PARTITIONS);
        let Some(held) = self.members[member].held.get(&partition) else { return Ok(()) };
        if held.is_revoked {
            return Ok(());
        }
        let (tracker, generation) = (Arc::clone(&held.tracker), held.generation);
        let Some(commit) = tracker.take_risen() else { return Ok(()) };
        if !self.is_calm && self.random.u8(..4) == 0 {
            // The broker may have it, and its answer is lost.
            self.count("commit lost");
            if self.random.bool() {
                let _ = self.store(member, partition, generation, &commit)?;
            }
            tracker.put_back();
        } else if self.store(member, partition, generation, &commit)? {
            tracker.committed(commit.next, commit.done.as_deref().unwrap_or_default().as_bytes());
        } else {
            tracker.put_back();
        }
        Ok(())
    }

    /// What the group does with a commit: it takes those of the partition's owner.
    fn store(
        &mut self,
        member: usize,
        partition: usize,
        generation: u64,
        commit: &Commit,
    ) -> Result<bool, String> {
        let of = &self.partitions[partition];
        let is_owner = of.owner == Some((member, generation));
        if !is_owner {
            return Ok(false);
        }
        self.trace.push(format!("{member} commits {partition}: {commit:?}"));
        let before = of.committed.as_ref().map_or(0, |before| before.next);
        if commit.next < before {
            return Err(format!("G5: {partition} goes back from {before} to {commit:?}"));
        }
        let done = commit.done.as_deref().unwrap_or_default();
        let above = gaps::decode(commit.next, done.as_bytes()).into_iter().flatten();
        for offset in (0..commit.next).chain(above) {
            let record = &of.log[usize::try_from(offset).expect("no negative offset")];
            if !record.is_replied {
                return Err(format!("G5: {offset} of {partition} is not answered: {commit:?}"));
            }
        }
        self.partitions[partition].committed = Some(commit.clone());
        Ok(true)
    }

    /// Partitions move to other members, which first let go of them in good order.
    fn rebalance(&mut self) -> Checked {
        self.generation += 1;
        for partition in 0..PARTITIONS {
            let to = self.random.usize(..MEMBERS);
            match self.partitions[partition].owner {
                Some((owner, _)) if owner == to => continue,
                Some((owner, _)) => self.revoke(owner, partition)?,
                None => {}
            }
            // A member that does not know yet that it lost the partition hears of it now.
            self.drop_held(to, partition);
            self.assign(to, partition);
            self.count("moved");
        }
        Ok(())
    }

    fn revoke(&mut self, member: usize, partition: usize) -> Checked {
        self.note("gives up", &(member, partition));
        let Some(held) = self.members[member].held.get_mut(&partition) else { return Ok(()) };
        held.is_revoked = true;
        let (tracker, generation) = (Arc::clone(&held.tracker), held.generation);
        if self.bug != Bug::StartsAfterRevoke {
            tracker.revoke();
        }
        // What runs has time to end, or not all of it.
        let is_patient = self.is_calm || self.random.bool();
        while let Some(which) = self.members[member].works.iter().position(|work| {
            let is_ending = work.stage != Stage::Queued || self.bug == Bug::StartsAfterRevoke;
            work.partition == partition && is_ending
        }) {
            if !is_patient && self.random.u8(..3) == 0 {
                self.count("moved amid work");
                break;
            }
            self.advance(member, which)?;
        }
        if self.bug == Bug::LosesOnRevoke {
            for work in &mut self.members[member].works {
                if work.partition == partition {
                    let offset = usize::try_from(work.taken.offset()).expect("not negative");
                    self.partitions[partition].log[offset].is_replied = true;
                    work.taken.mark_complete();
                }
            }
        }
        if let Some(commit) = tracker.committable() {
            let _ = self.store(member, partition, generation, &commit)?;
        }
        tracker.release();
        self.drop_held(member, partition);
        Ok(())
    }

    fn assign(&mut self, member: usize, partition: usize) {
        let outstanding = Arc::clone(&self.members[member].outstanding);
        let number = i32::try_from(partition).expect("few");
        let tracker = Tracker::new("requests".into(), number, outstanding);
        let mut position = 0;
        if let Some(commit) = &self.partitions[partition].committed {
            let done = match self.bug {
                Bug::ForgetsGaps => "",
                _ => commit.done.as_deref().unwrap_or_default(),
            };
            tracker.restore(commit.next, done.as_bytes());
            position = usize::try_from(commit.next).expect("not negative");
        }
        let generation = self.generation;
        self.partitions[partition].owner = Some((member, generation));
        let held = Held { tracker, position, generation, is_revoked: false };
        self.members[member].held.insert(partition, held);
        self.note("has", &(member, partition, position));
    }

    /// A member is gone, with all that it knew, and another begins in its place.
    fn crash(&mut self) {
        let member = self.random.usize(..MEMBERS);
        self.count("crash");
        self.note("crashes", &member);
        self.members[member] = Member::new();
        self.give_away(member);
    }

    /// The group takes a member for dead, which it is not: it goes on until it is told.
    fn expel(&mut self) {
        let member = self.random.usize(..MEMBERS);
        self.count("zombie");
        self.note("is expelled", &member);
        self.give_away(member);
    }

    fn give_away(&mut self, member: usize) {
        self.generation += 1;
        for partition in 0..PARTITIONS {
            if self.partitions[partition].owner.is_some_and(|(owner, _)| owner == member) {
                let to = (member + 1) % MEMBERS;
                self.drop_held(to, partition);
                self.assign(to, partition);
            }
        }
    }

    /// The member hears that it has lost what others own: nothing may be committed for it.
    fn end_zombie(&mut self, member: usize) -> Checked {
        let is_lost = |partition: &usize| {
            self.partitions[*partition].owner.is_none_or(|(owner, _)| owner != member)
        };
        let lost: Vec<usize> = self.members[member].held.keys().copied().filter(is_lost).collect();
        for partition in lost {
            self.revoke(member, partition)?;
        }
        Ok(())
    }

    fn drop_held(&mut self, member: usize, partition: usize) {
        let member = &mut self.members[member];
        if let Some(held) = member.held.remove(&partition) {
            held.tracker.revoke();
            held.tracker.release();
        }
        member.works.retain(|work| work.partition != partition);
    }

    fn is_done(&self) -> bool {
        self.partitions.iter().all(|partition| {
            let end = i64::try_from(partition.log.len()).expect("short");
            partition.committed.as_ref().map_or(0, |commit| commit.next) == end
        })
    }

    fn at_the_end(&self) -> Checked {
        let faults = ["crash", "zombie", "moved amid work", "commit lost"];
        let is_harmless = faults.iter().all(|fault| !self.happened.contains_key(fault));
        for (partition, of) in self.partitions.iter().enumerate() {
            for (offset, record) in of.log.iter().enumerate() {
                if !record.is_replied || record.effects == 0 {
                    return Err(format!("G4: {offset} of {partition} is lost: {record:?}"));
                }
                if is_harmless && record.effects > 1 {
                    let times = record.effects;
                    return Err(format!("G12: {offset} of {partition} was handled {times} times"));
                }
            }
        }
        for member in &self.members {
            if member.works.is_empty() && member.outstanding.count() > 0 {
                return Err(format!("G10: {} requests are held", member.outstanding.count()));
            }
        }
        Ok(())
    }

    fn note(&mut self, what: &str, whom: &impl std::fmt::Debug) {
        self.trace.push(format!("{whom:?} {what}"));
    }

    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }
}

impl Member {
    fn new() -> Self {
        let outstanding = Outstanding::new(ReplierMetrics::new());
        Self { outstanding, held: BTreeMap::new(), works: Vec::new() }
    }
}
