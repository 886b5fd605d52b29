//! Antiphon as its users have it: default settings or requests that share records, futures or a queue of
//! replies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use antiphon::config::{KafkaSettings, RequesterSettings};
use antiphon::replier::{RawReply, RawRequest as Incoming};
use antiphon::requester::RawRequest;
use antiphon::{Context, Replier, Requester, Router, Status};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::{Contender, Role};
use crate::Outcome;
use crate::contract::{Figures, Order};
use crate::figures::Meter;
use crate::runtime::half_of_the_cores;

const LONGEST: Duration = Duration::from_secs(60);

/// The requester's process.
pub(super) struct Requesting {
    runtime: Runtime,
    requester: Requester,
    request: RawRequest,
    contender: Contender,
}

impl Requesting {
    pub(super) fn start(role: &Role) -> Outcome<Self> {
        let runtime = half_of_the_cores()?;
        let settings = RequesterSettings {
            max_in_flight: 1_000_000,
            pack_requests: role.contender.packs_requests(),
            ..RequesterSettings::default()
        };
        let building = Requester::builder(kafka(role))
            .settings(settings)
            .reply_topic(format!("{}.replies", role.topic))
            .build();
        let requester = runtime.block_on(building)?;
        let request = RawRequest::new(role.topic.clone(), vec![b'x'; role.payload]);
        Ok(Self { runtime, requester, request, contender: role.contender })
    }

    pub(super) fn measure(&self, order: Order) -> Outcome<Figures> {
        let queue = self.contender == Contender::AntiphonQueue;
        self.runtime.block_on(async {
            match order.rate {
                Some(rate) => self.at_rate(order, rate).await,
                None if queue => self.queue_of_replies(order).await,
                None => self.futures(order).await,
            }
        })
    }

    /// A task for each call in flight, as in a server that asks for each of its own requests.
    async fn futures(&self, order: Order) -> Outcome<Figures> {
        let meter = Arc::new(Mutex::new(Meter::start()));
        let next = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..order.in_flight {
            let (next, meter) = (Arc::clone(&next), Arc::clone(&meter));
            let (requester, request) = (self.requester.clone(), self.request.clone());
            tasks.spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < order.requests {
                    let started = Instant::now();
                    let answer = requester.ask(request.clone()).timeout(LONGEST).await;
                    let latency = answer.is_ok().then(|| started.elapsed());
                    note(&mut meter.lock().unwrap_or_else(PoisonError::into_inner), latency);
                }
            });
        }
        tasks.join_all().await;
        let meter = Arc::into_inner(meter).ok_or("a task still measures")?;
        Ok(meter.into_inner().unwrap_or_else(PoisonError::into_inner).finish())
    }

    /// One task that takes an answer and asks the next question.
    async fn queue_of_replies(&self, order: Order) -> Outcome<Figures> {
        let mut meter = Meter::start();
        let queue = self.requester.replies(order.in_flight);
        let mut sent = 0;
        while meter.ended() < order.requests {
            while sent < order.requests && queue.open() < order.in_flight {
                let question = self.requester.ask(self.request.clone()).timeout(LONGEST);
                question.queue(&queue, Instant::now())?;
                sent += 1;
            }
            let Some(queued) = queue.next().await else { break };
            note(&mut meter, queued.answer.is_ok().then(|| queued.tag.elapsed()));
        }
        Ok(meter.finish())
    }

    /// Calls at their times, whatever becomes of those before.
    async fn at_rate(&self, order: Order, rate: f64) -> Outcome<Figures> {
        let mut meter = Meter::start();
        let queue = self.requester.replies(order.in_flight);
        let mut sent = 0;
        while meter.ended() < order.requests {
            let mut next = None;
            while sent < order.requests && queue.open() < order.in_flight {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^52 calls")]
                let due = meter.started() + Duration::from_secs_f64(sent as f64 / rate);
                if due > Instant::now() {
                    next = Some(due);
                    break;
                }
                self.requester.ask(self.request.clone()).timeout(LONGEST).queue(&queue, due)?;
                sent += 1;
            }
            let queued = match next {
                None => queue.next().await,
                Some(due) if queue.open() == 0 => {
                    tokio::time::sleep_until(due.into()).await;
                    continue;
                }
                Some(due) => match tokio::time::timeout_at(due.into(), queue.next()).await {
                    Ok(queued) => queued,
                    Err(_) => continue,
                },
            };
            let Some(queued) = queued else { break };
            note(&mut meter, queued.answer.is_ok().then(|| queued.tag.elapsed()));
        }
        Ok(meter.finish())
    }
}

/// The replier's process.
pub(super) fn echo(role: &Role) -> Outcome {
    let echo = |request: Incoming, _: Context| async move {
        Ok::<_, Status>(RawReply::new(request.payload))
    };
    let service = Router::new().handle_any(&role.topic, echo);
    let replier = Replier::builder(kafka(role)).group(&role.topic).service(service);
    half_of_the_cores()?.block_on(replier.run(std::future::pending()))?;
    Ok(())
}

fn note(meter: &mut Meter, latency: Option<Duration>) {
    match latency {
        Some(latency) => meter.answered(latency),
        None => meter.failed(),
    }
}

fn kafka(role: &Role) -> KafkaSettings {
    let kafka = KafkaSettings::new(&role.bootstrap).property("acks", &role.acks);
    if role.contender.is_idempotent() {
        return kafka.property("enable.idempotence", "true");
    }
    if let Some(requests) = role.contender.fixed() {
        return kafka.property("max.in.flight.requests.per.connection", requests.to_string());
    }
    kafka
}
