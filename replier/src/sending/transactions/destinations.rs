//! Whether the topics of records are there, asked before a record is sent: a producer waits for a
//! topic that is not, and with it would the transaction, and all who are in it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_common::kafka::{TopicError, partition_count};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;

/// How long one look may take.
const LOOK_FOR: Duration = Duration::from_secs(2);
/// How long a topic that was found is believed to be there.
const FOUND: Duration = Duration::from_secs(60);
/// How long one that was not found is believed not to be.
const MISSING: Duration = Duration::from_secs(1);
/// The most topics that are remembered.
const MOST: usize = 1_000;

/// What is known of topics.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    known: HashMap<Arc<str>, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    looked: Instant,
    is: Result<i32, RDKafkaErrorCode>,
}

impl Destinations {
    /// Whether a record can be sent there, as far as is known; the error if it cannot.
    pub(super) fn check<C: ClientContext>(
        &mut self,
        client: &Client<C>,
        topic: &Arc<str>,
        partition: Option<i32>,
    ) -> Result<(), RDKafkaErrorCode> {
        let mut known = self.known.get(topic).copied();
        if !known.is_some_and(|known| known.is_good(partition)) {
            known = look(client, topic);
            self.remember(topic, known);
        }
        // Nobody answered: the producer finds out, or not.
        let Some(known) = known else { return Ok(()) };
        match (known.is?, partition) {
            (count, Some(partition)) if partition >= count => {
                Err(RDKafkaErrorCode::UnknownPartition)
            }
            _ => Ok(()),
        }
    }

    /// Looks again before the next record is sent there.
    pub(super) fn forget(&mut self, topic: &str) {
        self.known.remove(topic);
    }

    fn remember(&mut self, topic: &Arc<str>, known: Option<Known>) {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        if let Some(known) = known {
            self.known.insert(Arc::clone(topic), known);
        }
    }
}

impl Known {
    /// Whether there is no need to look again. Partitions may have been added.
    fn is_good(&self, partition: Option<i32>) -> bool {
        let for_so_long = match (self.is, partition) {
            (Ok(count), Some(partition)) if partition >= count => MISSING,
            (Ok(_), _) => FOUND,
            (Err(_), _) => MISSING,
        };
        self.looked.elapsed() < for_so_long
    }
}

fn look<C: ClientContext>(client: &Client<C>, topic: &str) -> Option<Known> {
    let is = match partition_count(client, topic, LOOK_FOR) {
        Ok(count) => Ok(count),
        Err(TopicError::Missing(_)) => Err(RDKafkaErrorCode::UnknownTopic),
        Err(TopicError::Unauthorized(_)) => Err(RDKafkaErrorCode::TopicAuthorizationFailed),
        Err(_) => return None,
    };
    Some(Known { looked: Instant::now(), is })
}
