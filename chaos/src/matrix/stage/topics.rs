//! What a row may do to topics, so that the history and the witness hear of it.

use antiphon_chaos::history::Kind;
use antiphon_testkit::TopicSpec;

use super::Stage;
use crate::Outcome;
use crate::faults::topics;
use crate::matrix::witness::Changed;

impl Stage<'_> {
    pub(in crate::matrix) fn reply_topic(&self) -> String {
        format!("{}.replies", self.topic)
    }

    /// Deletes the reply topic.
    pub(in crate::matrix) fn delete_replies(&mut self) -> Outcome {
        let topic = self.reply_topic();
        self.journal.note(Kind::TopicDeleted { topic: topic.clone() })?;
        Ok(self.broker.delete_topic(&topic)?)
    }

    /// Makes it again. With too few partitions it is not there as far as its requesters are concerned.
    pub(in crate::matrix) fn make_replies(&mut self, partitions: i32) -> Outcome {
        let topic = self.reply_topic();
        self.broker.create_topic_with(&TopicSpec::new(&topic).partitions(partitions))?;
        self.tell_witness(topic.clone(), partitions, true)?;
        if partitions >= self.setup.reply_partitions {
            self.journal.note(Kind::TopicMade { topic })?;
        }
        Ok(())
    }

    /// Gives a topic more partitions.
    pub(in crate::matrix) fn grow(&mut self, topic: &str, partitions: i32) -> Outcome {
        topics::grow(self.bootstrap(), topic, partitions)?;
        self.tell_witness(topic.to_owned(), partitions, false)
    }

    /// Deletes all but the last `kept` requests of each partition, read or not, and tells how many
    /// of them the group had not committed.
    pub(in crate::matrix) fn delete_requests(&mut self, kept: i64) -> Outcome<i64> {
        let places = topics::places(self.bootstrap(), &self.topic, &self.topic)?;
        let mut unread = 0;
        for place in &places {
            let (topic, partition) = (self.topic.clone(), place.partition);
            let before = (place.end - kept).max(place.begin);
            unread += (before - place.committed).max(0);
            self.journal.note(Kind::Deleted { topic, partition, before })?;
            topics::delete_before(self.bootstrap(), &self.topic, partition, before)?;
        }
        Ok(unread)
    }

    fn tell_witness(&self, topic: String, partitions: i32, is_new: bool) -> Outcome {
        match &self.witness {
            Some(witness) => Ok(witness.send(Changed { topic, partitions, is_new })?),
            None => Ok(()),
        }
    }
}
