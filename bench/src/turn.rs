//! One contender's turn: its two processes, all the loads of a cell, and then their end.

use std::time::{Duration, Instant};

use antiphon_testkit::TestBroker;

use crate::Outcome;
use crate::cases::{Case, Load, Measurement, Quantity};
use crate::contenders::{Contender, Maker, Role};
use crate::contract::Order;
use crate::nats::NatsServer;
use crate::peers::Peers;
use crate::process::{Process, cpu};
use crate::results::{Failed, Results};
use crate::suite::Cell;

/// Partitions of a request topic, and of its reply topic.
const PARTITIONS: i32 = 4;
/// The first calls of a pair wait until the replier has joined its group.
const FIRST: Duration = Duration::from_secs(90);
/// Calls before a measurement, for each one in flight.
const WARM_UP: u64 = 20;
/// How long a load lasts before it is measured, so that what is measured is how a service runs, and not how
/// it gets there: brokers compile what they run, and Antiphon sees how many calls are in flight.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a Java virtual machine compiles what it runs, before it is measured.
const JAVA_WARM_UP: Duration = Duration::from_secs(20);

/// What a turn is taken on.
pub(crate) struct Stage<'a> {
    pub(crate) cell: &'a Cell,
    pub(crate) cluster: &'a TestBroker,
    /// Where clients reach it: itself, or what stands before it.
    pub(crate) bootstrap: &'a str,
    pub(crate) nats: Option<&'a NatsServer>,
    pub(crate) peers: &'a Peers,
}

pub(crate) struct Turn<'a> {
    pub(crate) stage: &'a Stage<'a>,
    pub(crate) contender: Contender,
    pub(crate) round: usize,
}

struct Pair {
    requester: Process,
    replier: Process,
    /// The most calls per second in a closed loop so far.
    capacity: f64,
}

impl Turn<'_> {
    pub(crate) fn take(&self, results: &mut Results) {
        for &payload in &self.stage.cell.payload {
            if let Err(error) = self.with_payload(payload, results) {
                self.fail(None, error.to_string(), results);
            }
            self.clean(payload);
        }
    }

    fn with_payload(&self, payload: usize, results: &mut Results) -> Outcome {
        let mut pair = self.start(payload)?;
        for case in self.stage.cell.cases(payload) {
            match self.measure(case, &mut pair) {
                Ok(measurement) => {
                    say(&measurement);
                    if case.is_closed() {
                        pair.capacity = pair.capacity.max(measurement.get(Quantity::PerSecond));
                    }
                    results.measurements.push(measurement);
                }
                Err(error) => {
                    self.fail(Some(case), error.to_string(), results);
                    // A requester that failed may still be busy with it.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The topics of requests and replies, where a contender needs any.
    fn topics(&self, payload: usize) -> [String; 2] {
        let topic = format!("bench-{}-{payload}-{}", self.contender.name(), self.round);
        [topic.clone(), format!("{topic}.replies")]
    }

    /// Deletes the topics: the large payloads of a few turns would fill a disk.
    fn clean(&self, payload: usize) {
        if matches!(self.contender.maker(), Maker::Here | Maker::Spring) {
            for name in self.topics(payload) {
                // What could not be made, or is kept by a broker that is down, goes with the cluster.
                let _ = self.stage.cluster.delete_topic(&name);
            }
        }
    }

    /// Starts both processes, and has them work until they are warm.
    fn start(&self, payload: usize) -> Outcome<Pair> {
        let Stage { cell, cluster, bootstrap, nats, peers } = self.stage;
        let [topic, replies] = self.topics(payload);
        let bootstrap = match self.contender.maker() {
            Maker::Here | Maker::Spring => {
                for name in [&topic, &replies] {
                    cluster.create_topic(name, PARTITIONS)?;
                }
                (*bootstrap).to_owned()
            }
            Maker::Nats => nats.ok_or("there is no NATS server")?.url.clone(),
            Maker::Rust => String::new(),
        };
        let acks = cell.acks.name().to_owned();
        let mut role = Role { contender: self.contender, bootstrap, topic, payload, acks };
        let replier = Process::start("replier", peers.command(self.contender)?, &role)?;
        if let Some(address) = &replier.address {
            role.bootstrap.clone_from(address);
        }
        let mut requester = Process::start("requester", peers.command(self.contender)?, &role)?;
        requester.measure(Order { in_flight: 1, requests: 200, rate: None }, FIRST)?;
        let began = Instant::now();
        while self.contender.maker() == Maker::Spring && began.elapsed() < JAVA_WARM_UP {
            let in_flight = (32 << 20) / payload.max(1);
            let in_flight = in_flight.clamp(1, 256);
            let requests = in_flight as u64 * 10;
            requester.measure(Order { in_flight, requests, rate: None }, FIRST)?;
        }
        Ok(Pair { requester, replier, capacity: 0.0 })
    }

    fn measure(&self, case: Case, pair: &mut Pair) -> Outcome<Measurement> {
        let seconds = self.stage.cell.seconds;
        let limit = Duration::from_secs_f64(seconds * 20.0 + 60.0);
        let order = self.order(case, pair, limit)?;
        let (replier_before, broker_before) = (pair.replier.cpu()?, self.broker_cpu()?);
        let figures = pair.requester.measure(order, limit)?;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Ok(Measurement {
            round: self.round,
            contender: self.contender,
            case,
            rate: order.rate,
            figures,
            replier_cpu_us: micros(pair.replier.cpu()?.saturating_sub(replier_before)),
            broker_cpu_us: micros(self.broker_cpu()?.saturating_sub(broker_before)),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        })
    }

    /// How many calls make about the wanted time. For a closed loop, calls that do not count tell.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "numbers of calls are positive and far below 2^52"
    )]
    fn order(&self, case: Case, pair: &mut Pair, limit: Duration) -> Outcome<Order> {
        let Case { in_flight, load, .. } = case;
        let rate = match load {
            None => None,
            Some(Load::PerSecond(rate)) => Some(rate as f64),
            Some(Load::Percent(percent)) if pair.capacity > 0.0 => {
                Some(pair.capacity * f64::from(percent) / 100.0)
            }
            Some(Load::Percent(_)) => return Err("no closed loop tells the capacity".into()),
        };
        let per_second = match rate {
            Some(rate) => rate,
            None => {
                let requests = (in_flight as u64 * WARM_UP).max(200);
                let order = Order { in_flight, requests, rate };
                let warm_up = pair.requester.measure(order, limit)?;
                let per_second = warm_up.requests as f64 / warm_up.seconds;
                let requests = (per_second * SETTLE.as_secs_f64()) as u64;
                let order = Order { requests: requests.max(in_flight as u64), ..order };
                let settled = pair.requester.measure(order, limit)?;
                settled.requests as f64 / settled.seconds
            }
        };
        let requests = (per_second * self.stage.cell.seconds) as u64;
        let least = if rate.is_some() { 1 } else { in_flight as u64 };
        Ok(Order { in_flight, requests: requests.max(least), rate })
    }

    /// What the processes between requester and replier have used so far.
    fn broker_cpu(&self) -> Outcome<Duration> {
        let Stage { cell, cluster, nats, .. } = self.stage;
        match self.contender.maker() {
            Maker::Here | Maker::Spring => {
                let mut total = Duration::ZERO;
                for node in 1..=i32::try_from(cell.brokers)? {
                    total += cpu(cluster.process_id(node)?)?;
                }
                Ok(total)
            }
            Maker::Nats => nats.map_or(Ok(Duration::ZERO), |server| cpu(server.process_id())),
            Maker::Rust => Ok(Duration::ZERO),
        }
    }

    fn fail(&self, case: Option<Case>, reason: String, results: &mut Results) {
        let (round, contender) = (self.round, self.contender);
        eprintln!("{} failed: {reason}", contender.name());
        results.failed.push(Failed { round, contender, case, reason });
    }
}

fn say(measurement: &Measurement) {
    let of = |quantity| format!("{:.1}", measurement.get(quantity));
    let figures = Quantity::ALL.map(|quantity| format!("{} {}", of(quantity), quantity.title()));
    eprintln!("  {}: {}", measurement.case, figures.join(", "));
}
