//! Load: requests at a fixed rate whatever becomes of them, or so many at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon::config::{KafkaSettings, ReplyPartition, RequesterSettings};
use antiphon::{Call, Requester};
use antiphon_testkit::TestBroker;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Outcome;
use crate::contract::{Act, Deed, Done};
use crate::tally::Tally;

/// How long a call may take: longer than any disturbance in these runs, so that each is answered.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);
/// How often a fixed rate catches up with the clock.
const TICK: Duration = Duration::from_millis(1);

/// Asks questions on one topic.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) requester: Requester,
    pub(crate) topic: String,
    pub(crate) tally: Tally,
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) id: String,
    pub(crate) deed: Deed,
    pub(crate) key: Option<String>,
    pub(crate) partition: Option<i32>,
}

impl Question {
    pub(crate) fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), deed: Deed::Answer, key: None, partition: None }
    }

    pub(crate) fn deed(mut self, deed: Deed) -> Self {
        self.deed = deed;
        self
    }

    pub(crate) fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(crate) fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }
}

impl Load {
    /// Starts a requester whose replies come to `<topic>.replies`.
    pub(crate) async fn start(broker: &TestBroker, topic: &str) -> Outcome<Self> {
        // Records that are sent again must not come behind later ones: the order is judged.
        let kafka = KafkaSettings::new(broker.bootstrap()).property("enable.idempotence", "true");
        let settings = RequesterSettings {
            reply_partition: ReplyPartition::Fixed(0),
            max_in_flight: 1_000_000,
            ..RequesterSettings::default()
        };
        let requester = Requester::builder(kafka)
            .reply_topic(format!("{topic}.replies"))
            .settings(settings)
            .build()
            .await?;
        Ok(Self { requester, topic: topic.to_owned(), tally: Tally::default() })
    }

    /// The same requester, counted apart.
    pub(crate) fn apart(&self) -> Self {
        Self { tally: Tally::default(), ..self.clone() }
    }

    /// Asks at a fixed rate until told to stop. Calls are timed from when they were due.
    pub(crate) async fn at_rate(
        &self,
        per_second: u32,
        stop: &CancellationToken,
        next: impl FnMut(u64) -> Question,
    ) {
        Self::in_turn(std::slice::from_ref(self), per_second, stop, next).await;
    }

    /// The same; several requesters, at least one, take turns. All together ask at the rate.
    pub(crate) async fn in_turn(
        loads: &[Self],
        per_second: u32,
        stop: &CancellationToken,
        mut next: impl FnMut(u64) -> Question,
    ) {
        let began = Instant::now();
        let mut turns = loads.iter().cycle();
        let mut number: u64 = 0;
        let mut ticks = tokio::time::interval(TICK);
        while !stop.is_cancelled() {
            ticks.tick().await;
            let gap = Duration::from_secs(1) / per_second;
            let due = began.elapsed().as_nanos() / gap.as_nanos().max(1);
            while u128::from(number) < due {
                let Some(load) = turns.next() else { return };
                let at = began + Duration::from_nanos(nanoseconds(gap) * number);
                load.ask(next(number), at, ());
                number += 1;
            }
        }
    }

    /// Keeps so many calls waiting until told to stop.
    pub(crate) async fn at_a_time(
        &self,
        calls: usize,
        stop: &CancellationToken,
        mut next: impl FnMut(u64) -> Option<Question>,
    ) {
        let room = Arc::new(Semaphore::new(calls));
        let mut number = 0;
        while !stop.is_cancelled() {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
            let Some(question) = next(number) else { return };
            self.ask(question, Instant::now(), place);
            number += 1;
        }
    }

    /// Ends the requester, before its brokers end.
    pub(crate) async fn close(self) {
        self.requester.close(Duration::ZERO).await;
    }

    /// Sends one question, and lets go of `held` when it has ended.
    fn ask<H: Send + 'static>(&self, question: Question, at: Instant, held: H) {
        self.tally.sent();
        let (tally, id) = (self.tally.clone(), question.id.clone());
        // Sent here, and not in the task: the order of requests is that of these calls.
        let call = self.send(question);
        tokio::spawn(async move {
            match call.await {
                Ok(done) if done.id == id => tally.answered(at),
                Ok(_) => tally.crossed(),
                Err(error) => tally.failed(error.to_string()),
            }
            drop(held);
        });
    }

    /// Sends one question that is not counted.
    pub(crate) fn send(&self, question: Question) -> Call<Done> {
        let Question { id, deed, key, partition } = question;
        let call = self.requester.call(Act { id, deed }).topic(self.topic.clone()).timeout(TIMEOUT);
        let call = match key {
            Some(key) => call.key(key),
            None => call,
        };
        match partition {
            Some(partition) => call.partition(partition).send(),
            None => call.send(),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
