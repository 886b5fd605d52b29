//! Steps over batches of requests that cannot be unpacked: they are refused, and the partition goes on.

use antiphon_common::kafka::{Hole, Suspect};
use rdkafka::consumer::Consumer as _;

use crate::intake::assignment::Assignment;
use crate::intake::member::Consumer;

/// The partitions that are held, of which one cannot be read.
pub(crate) fn suspects(assignment: &Assignment) -> Vec<Suspect> {
    let mut suspects = Vec::new();
    assignment.for_each(|tracker| {
        suspects.push(Suspect {
            topic: tracker.topic.clone(),
            partition: tracker.partition,
            next: tracker.expected(),
        });
    });
    suspects
}

/// Goes on behind a hole. Returns the number of requests that are passed over for good.
pub(crate) fn step_over(consumer: &Consumer, hole: &Hole) -> u64 {
    let assignment = consumer.context();
    let Some(tracker) = assignment.tracker(&hole.topic, hole.partition) else { return 0 };
    // What was read since the look began could be read.
    if tracker.expected().is_some_and(|next| next != hole.offsets.start) {
        return 0;
    }
    if let Err(error) = hole.step_over(consumer) {
        assignment.observer.warn("cannot step over a batch that cannot be unpacked", &error);
        return 0;
    }
    // So that the commit passes them, whether or not anything follows.
    if let Some(last) = tracker.take(hole.offsets.end - 1) {
        last.complete();
    }
    assignment.observer.warn("rejected requests that cannot be unpacked", hole);
    hole.count()
}
