//! The requests of the next transaction: which of them are in it, and what becomes of those that were
//! at fault in the last one.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::blame::{Blame, Fate};
use super::producer::{Fault, Refused, TransactionalProducer};
use super::worker::Worker;
use crate::sending::outgoing::{Lookup, Outgoing, Remedy};

/// How long a request waits whose record must be written and cannot be.
const ASIDE: Duration = Duration::from_millis(500);

impl Worker {
    /// Changes the requests that were at fault. `true` if the next transaction is another one.
    pub(super) fn blame(&mut self, fault: &Fault, refused: &[Refused], count: usize) -> bool {
        let blame = Blame { observer: &self.terms.observer, metrics: &self.metrics };
        let mut aside = Vec::new();
        let mut changed = false;
        for Refused { index, is_reply, code } in refused {
            match blame.refused(&mut self.batch[*index], *is_reply, *code) {
                Fate::Same => {}
                Fate::Changed => changed = true,
                Fate::Aside => aside.push(*index),
            }
        }
        let unnamed = matches!(Remedy::of(fault.code), Remedy::GiveUp | Remedy::ReplyTooLarge);
        if !changed && aside.is_empty() && unnamed && count > 0 {
            // One of them is at fault, and the client does not say which.
            changed = true;
            self.most = count.div_ceil(2);
            if count == 1 && blame.one_refused(&mut self.batch[0], fault.code) == Fate::Aside {
                aside.push(0);
            }
        }
        aside.sort_unstable();
        aside.dedup();
        for index in aside.into_iter().rev() {
            self.aside.push((Instant::now() + ASIDE, self.batch.remove(index)));
            changed = true;
        }
        changed
    }

    /// Drops requests of partitions that others have now: they read them again.
    pub(super) fn retain_held(&mut self) {
        let held = |outgoing: &Outgoing| !outgoing.duty.tracker().is_released();
        self.batch.retain(held);
        self.aside.retain(|(_, outgoing)| held(outgoing));
    }

    /// Tries again what has waited long enough.
    pub(super) fn take_back(&mut self) {
        let now = Instant::now();
        for (_, mut outgoing) in self.aside.extract_if(.., |(until, _)| *until <= now) {
            outgoing.lookup = Lookup::Wanted;
            self.batch.push(outgoing);
        }
    }

    /// Gives up replies to topics that are not there, and puts requests aside whose other records
    /// have nowhere to go. Returns how many requests there are to send.
    pub(super) fn check_destinations(&mut self, producer: &TransactionalProducer) -> usize {
        let blame = Blame { observer: &self.terms.observer, metrics: &self.metrics };
        let mut index = 0;
        while let Some(outgoing) = self.batch.get_mut(index) {
            let mut fate = Fate::Same;
            for (to, is_reply) in outgoing.destinations() {
                if outgoing.lookup == Lookup::Wanted {
                    self.destinations.forget(&to.topic);
                    producer.look_up(&to.topic);
                }
                let client = self.consumer.client();
                if let Err(code) = self.destinations.check(client, &to.topic, to.place.partition())
                {
                    fate = match is_reply {
                        true => blame.give_up(outgoing, Some(code)),
                        false => blame.aside(outgoing, Some(code)),
                    };
                    if fate == Fate::Aside {
                        break;
                    }
                }
            }
            if outgoing.lookup == Lookup::Wanted {
                outgoing.lookup = Lookup::Done;
            }
            match fate {
                Fate::Aside => {
                    self.aside.push((Instant::now() + ASIDE, self.batch.remove(index)));
                }
                Fate::Same | Fate::Changed => {
                    outgoing.duty.unblock();
                    index += 1;
                }
            }
        }
        self.batch.len()
    }
}
