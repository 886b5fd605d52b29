//! What a program can be told of the partitions that its replier holds.

use std::fmt;
use std::sync::Arc;

use rdkafka::topic_partition_list::TopicPartitionList;

/// Something that became of a partition of a request topic, or of a retry topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionEvent<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// What became of it.
    pub change: PartitionChange,
}

/// What became of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartitionChange {
    /// It was assigned to this replier, which has read nothing of it yet.
    Assigned,
    /// It was given up: what had begun has ended, or the drain time was over, and the client was
    /// told which offset to commit.
    Revoked,
    /// It was lost: the group has given it to another replier already.
    Lost,
    /// The brokers have taken the commit of this offset. In transactions it is not told.
    Committed(i64),
}

/// Whom to tell, on the intake thread.
#[derive(Clone)]
pub(crate) struct Told(Arc<dyn Fn(PartitionEvent<'_>) + Send + Sync>);

impl Told {
    pub(crate) fn new(told: impl Fn(PartitionEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    pub(crate) fn tell(&self, topic: &str, partition: i32, change: PartitionChange) {
        (self.0)(PartitionEvent { topic, partition, change });
    }

    pub(crate) fn tell_all(&self, list: &TopicPartitionList, change: PartitionChange) {
        for element in list.elements() {
            self.tell(element.topic(), element.partition(), change);
        }
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::topic_partition_list::Offset;
    use std::sync::Mutex;

    #[test]
    fn each_partition_of_a_list_is_told() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let told = Told::new({
            let heard = Arc::clone(&heard);
            move |event| {
                let told = (event.topic.to_owned(), event.partition, event.change);
                heard.lock().expect("not poisoned").push(told);
            }
        });
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("t", 0, Offset::Offset(3)).expect("valid");
        list.add_partition("u", 2);
        told.tell_all(&list, PartitionChange::Lost);
        told.tell("t", 1, PartitionChange::Committed(7));
        let lost = PartitionChange::Lost;
        assert_eq!(
            *heard.lock().expect("not poisoned"),
            [
                ("t".to_owned(), 0, lost),
                ("u".to_owned(), 2, lost),
                ("t".to_owned(), 1, PartitionChange::Committed(7))
            ]
        );
    }
}
