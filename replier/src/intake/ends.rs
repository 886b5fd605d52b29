//! Asks now and then where the logs of the partitions end, on a thread of its own: a broker that
//! does not answer must not hold up the intake.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use antiphon_common::kafka::partition_count;
use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::intake::clocks::LogEnds;
use crate::intake::member::Current;

/// How often: one question for each topic, and one to each broker that leads a partition.
const EVERY: Duration = Duration::from_secs(10);
/// How long an answer is waited for. The end of the intake may be held up by as much.
const ANSWER: Duration = Duration::from_secs(1);

/// Asks for as long as it lives.
pub(crate) struct Asking {
    /// Asks at once when told so, and ends when this is dropped.
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// All partitions of the topics that are read, those of other repliers too: of what waits in a
/// partition when it is handed over, it must be known by then when it came.
struct Question {
    consumer: Current,
    ends: Arc<LogEnds>,
    /// The topics, with the number of their partitions as it was last told.
    topics: HashMap<String, i32>,
}

impl Asking {
    /// Begins. Without the thread all deadlines are taken as they are written.
    pub(crate) fn begin(
        consumer: Current,
        topics: impl IntoIterator<Item = String>,
        ends: Arc<LogEnds>,
    ) -> Self {
        let (wake, woken) = mpsc::channel();
        let topics = topics.into_iter().map(|topic| (topic, 0)).collect();
        let mut question = Question { consumer, ends, topics };
        let run = move || {
            question.ask();
            while woken.recv_timeout(EVERY) != Err(RecvTimeoutError::Disconnected) {
                question.ask();
            }
        };
        let thread = thread::Builder::new().name("antiphon-ends".into()).spawn(run).ok();
        Self { wake: Some(wake), thread }
    }

    /// Asks now, since there are other partitions.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            // If nobody listens, nobody asks.
            let _ = wake.send(());
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported, and spoils nothing here.
            let _ = thread.join();
        }
    }
}

impl Question {
    fn ask(&mut self) {
        // Another may take its place, and it is to end then.
        let consumer = self.consumer.get();
        let mut wanted = TopicPartitionList::new();
        for (topic, count) in &mut self.topics {
            // If nobody answers, there are as many as there were.
            *count = partition_count(consumer.client(), topic, ANSWER).unwrap_or(*count);
            for partition in 0..*count {
                // The end is what a time without end stands for. It cannot be refused.
                let _ = wanted.add_partition_offset(topic, partition, Offset::End);
            }
        }
        if wanted.count() == 0 {
            return;
        }
        let asked = Instant::now();
        // If it fails, what was known stays known.
        let Ok(found) = consumer.offsets_for_times(wanted, ANSWER) else { return };
        let elements = found.elements();
        let known =
            elements.iter().filter_map(|element| match (element.error(), element.offset()) {
                (Ok(()), Offset::Offset(offset)) => {
                    Some((element.topic(), element.partition(), offset))
                }
                _ => None,
            });
        self.ends.tell(asked, Instant::now(), known);
    }
}
