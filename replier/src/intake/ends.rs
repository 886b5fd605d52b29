//! Asks now and then where the logs of the partitions end, on a thread of its own: a broker that
//! does not answer must not hold up the intake.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::intake::assignment::Assignment;
use crate::intake::clocks::LogEnds;

/// How often: one question to each broker that leads a partition.
const EVERY: Duration = Duration::from_secs(10);
/// How long an answer is waited for. The end of the intake may be held up by as much.
const ANSWER: Duration = Duration::from_secs(1);

/// Asks for as long as it lives.
pub(crate) struct Asking {
    /// Asks at once when told so, and ends when this is dropped.
    wake: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Asking {
    /// Begins. Without the thread all deadlines are taken as they are written.
    pub(crate) fn begin(consumer: Arc<BaseConsumer<Assignment>>, ends: Arc<LogEnds>) -> Self {
        let (wake, woken) = mpsc::channel();
        let run = move || {
            while woken.recv_timeout(EVERY) != Err(RecvTimeoutError::Disconnected) {
                ask(&consumer, &ends);
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

fn ask(consumer: &BaseConsumer<Assignment>, ends: &LogEnds) {
    let mut wanted = TopicPartitionList::new();
    consumer.context().for_each(|tracker| {
        // The end is what a time without end stands for. It cannot be refused.
        let _ = wanted.add_partition_offset(&tracker.topic, tracker.partition, Offset::End);
    });
    if wanted.count() == 0 {
        return;
    }
    let asked = Instant::now();
    // If it fails, what was known stays known.
    let Ok(found) = consumer.offsets_for_times(wanted, ANSWER) else { return };
    let elements = found.elements();
    let known = elements.iter().filter_map(|element| match (element.error(), element.offset()) {
        (Ok(()), Offset::Offset(offset)) => Some((element.topic(), element.partition(), offset)),
        _ => None,
    });
    ends.tell(asked, Instant::now(), known);
}
