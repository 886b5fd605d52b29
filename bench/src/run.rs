//! A run: in each round every contender has its turn, alone, with new processes.

use std::path::PathBuf;
use std::time::Duration;

use antiphon_testkit::TestBroker;
use clap::Args;

use crate::Outcome;
use crate::cases::{Case, Failed, Machine, Measurement, Quantity, Results};
use crate::contenders::{Contender, Role};
use crate::contract::Order;
use crate::process::{Process, cpu};

/// Partitions of a request topic, and of its reply topic.
const PARTITIONS: i32 = 4;
/// The first calls of a pair wait until the replier has joined its group.
const FIRST: Duration = Duration::from_secs(90);
/// Calls before a measurement, for each one in flight.
const WARM_UP: u64 = 20;
const MOST_AT_ONCE: usize = 100_000;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Who takes part.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["floor", "floor-idempotent", "stock", "antiphon", "antiphon-queue", "antiphon-idempotent"])]
    contenders: Vec<Contender>,
    /// Calls in flight of the closed loops.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 256, 1024, 16384])]
    in_flight: Vec<usize>,
    /// Bytes of a request.
    #[arg(long, value_delimiter = ',', default_values_t = [128])]
    payload: Vec<usize>,
    /// Calls per second of the open loops.
    #[arg(long, value_delimiter = ',')]
    rates: Vec<f64>,
    #[arg(long, default_value_t = 1)]
    brokers: usize,
    /// What producers wait for: `all` or `1`.
    #[arg(long, default_value = "all")]
    acks: String,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// About how long each measurement takes.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Where to write what was measured.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

/// One contender's turn.
struct Turn<'a> {
    options: &'a Options,
    cluster: &'a TestBroker,
    contender: Contender,
    round: usize,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let cluster = TestBroker::kafka().brokers(options.brokers).benchmark().start()?;
    let mut results = Results {
        machine: Machine::here(),
        brokers: options.brokers,
        acks: options.acks.clone(),
        rounds: options.rounds,
        measurements: Vec::new(),
        failed: Vec::new(),
    };
    // The first requests of a broker's life are slow for whoever sends them.
    if let Some(&contender) = options.contenders.first() {
        eprintln!("the broker is warmed up");
        let mut warm_up = Results { measurements: Vec::new(), ..results.clone() };
        Turn { options, cluster: &cluster, contender, round: usize::MAX }.take(&mut warm_up);
    }
    for round in 0..options.rounds {
        let mut order = options.contenders.clone();
        if round % 2 == 1 {
            order.reverse();
        }
        for contender in order {
            Turn { options, cluster: &cluster, contender, round }.take(&mut results);
            // What was measured is not lost with a run that is cut short.
            std::fs::write(&options.json, serde_json::to_vec_pretty(&results)?)?;
        }
    }
    eprintln!("written to {}", options.json.display());
    if results.failed.is_empty() {
        return Ok(());
    }
    Err(format!("{} measurements failed", results.failed.len()).into())
}

impl Turn<'_> {
    fn take(&self, results: &mut Results) {
        for &payload in &self.options.payload {
            if let Err(error) = self.with_payload(payload, results) {
                self.fail(None, error.to_string(), results);
            }
        }
    }

    fn with_payload(&self, payload: usize, results: &mut Results) -> Outcome {
        let number = self.round.wrapping_add(1);
        let topic = format!("bench-{}-{payload}-{number}", self.contender.name());
        for name in [topic.clone(), format!("{topic}.replies")] {
            self.cluster.create_topic(&name, PARTITIONS)?;
        }
        let role = Role {
            contender: self.contender,
            bootstrap: self.cluster.bootstrap().to_owned(),
            topic,
            payload,
            acks: self.options.acks.clone(),
        };
        let replier = Process::start("replier", &role)?;
        let mut requester = Process::start("requester", &role)?;
        requester.measure(Order { in_flight: 1, requests: 200, rate: None }, FIRST)?;
        let closed = self.options.in_flight.iter().map(|&in_flight| (in_flight, None));
        let open = self.options.rates.iter().map(|&rate| (MOST_AT_ONCE, Some(rate)));
        for (in_flight, rate) in closed.chain(open) {
            let case = Case { payload, in_flight, rate };
            match self.measure(case, &mut requester, &replier) {
                Ok(measurement) => {
                    say(&measurement);
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

    fn measure(
        &self,
        case: Case,
        requester: &mut Process,
        replier: &Process,
    ) -> Outcome<Measurement> {
        let Case { in_flight, rate, .. } = case;
        let limit = Duration::from_secs_f64(self.options.seconds * 20.0 + 60.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "numbers of calls are positive and far below 2^52"
        )]
        let requests = match rate {
            Some(rate) => (rate * self.options.seconds) as u64,
            None => {
                let requests = in_flight as u64 * WARM_UP;
                let order = Order { in_flight, requests: requests.max(500), rate };
                let warm_up = requester.measure(order, limit)?;
                let per_second = warm_up.requests as f64 / warm_up.seconds;
                (per_second * self.options.seconds) as u64
            }
        };
        let order = Order { in_flight, requests: requests.max(in_flight as u64), rate };
        let (replier_before, broker_before) = (replier.cpu()?, self.broker_cpu()?);
        let figures = requester.measure(order, limit)?;
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Ok(Measurement {
            round: self.round,
            contender: self.contender,
            case,
            figures,
            replier_cpu_us: micros(replier.cpu()?.saturating_sub(replier_before)),
            broker_cpu_us: micros(self.broker_cpu()?.saturating_sub(broker_before)),
        })
    }

    fn broker_cpu(&self) -> Outcome<Duration> {
        let mut total = Duration::ZERO;
        for node in 1..=i32::try_from(self.options.brokers)? {
            total += cpu(self.cluster.process_id(node)?)?;
        }
        Ok(total)
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
    let (name, case) = (measurement.contender.name(), measurement.case);
    eprintln!(
        "round {}: {name}, {case}: {}",
        measurement.round.wrapping_add(1),
        figures.join(", ")
    );
}
