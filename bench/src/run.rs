//! A run: in each round every contender has its turn, alone, with new processes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use antiphon_testkit::TestBroker;
use clap::Args;

use crate::Outcome;
use crate::contenders::{Contender, Maker};
use crate::nats::NatsServer;
use crate::peers::Peers;
use crate::results::{Machine, Results};
use crate::suite::{Cell, Choice};
use crate::turn::{Stage, Turn};

/// How long a broker works before anything counts, in measurements: its virtual machine compiles what
/// it runs, and takes most of the processors meanwhile.
const BROKER_WARM_UP: f64 = 20.0;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    choice: Choice,
    /// Where to write what was measured.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let mut cells = options.choice.cells()?;
    if options.choice.show_plan {
        println!("{}", serde_json::to_string_pretty(&cells)?);
        return Ok(());
    }
    let mut asked: Vec<Contender> = Vec::new();
    for contender in cells.iter().flat_map(|cell| &cell.contenders) {
        if !asked.contains(contender) {
            asked.push(*contender);
        }
    }
    let peers = Peers::fetch(&asked)?;
    let lacking: Vec<String> = asked.iter().filter_map(|who| peers.lacks(*who)).collect();
    for lacking in &lacking {
        eprintln!("left out: {lacking}");
    }
    for cell in &mut cells {
        cell.contenders.retain(|contender| peers.lacks(*contender).is_none());
    }
    let with_nats =
        asked.iter().any(|who| who.maker() == Maker::Nats && peers.lacks(*who).is_none());
    let nats = if with_nats { Some(NatsServer::start(peers.path("nats-server")?)?) } else { None };
    let mut results =
        Results { machines: vec![Machine::here()], left_out: lacking, ..Results::default() };
    let mut progress = Progress::of(turns(&cells));
    for cell in &cells {
        let cluster = TestBroker::kafka().brokers(cell.brokers).benchmark().start()?;
        let bootstrap = cluster.bootstrap();
        let stage =
            Stage { cell, cluster: &cluster, bootstrap, nats: nats.as_ref(), peers: &peers };
        progress.warm_up(&stage);
        progress.measure(&stage, &mut results, |results| results.write(&options.json))?;
    }
    eprintln!("written to {}, after {} s", options.json.display(), progress.seconds());
    if results.failed.is_empty() {
        return Ok(());
    }
    Err(format!("{} measurements failed", results.failed.len()).into())
}

fn turns(cells: &[Cell]) -> usize {
    cells.iter().map(|cell| cell.rounds * cell.contenders.len()).sum()
}

/// How far a run is.
pub(crate) struct Progress {
    done: usize,
    of: usize,
    /// Rounds are numbered through all cells.
    round: usize,
    began: Instant,
}

impl Progress {
    /// At the beginning of so many turns.
    pub(crate) fn of(turns: usize) -> Self {
        Self { done: 0, of: turns, round: 0, began: Instant::now() }
    }

    /// The time since then.
    pub(crate) fn seconds(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    /// Once for each cluster: the first requests of a broker's life are slow for whoever sends them.
    pub(crate) fn warm_up(&self, stage: &Stage<'_>) {
        if let Some(&contender) = stage.cell.contenders.first() {
            eprintln!("{} broker(s): warming up", stage.cell.brokers);
            let length = Duration::from_secs_f64(stage.cell.seconds * BROKER_WARM_UP);
            let started = Instant::now();
            // Numbered from the other end, so that no turn finds the topics of another.
            let mut round = usize::MAX;
            while started.elapsed() < length {
                let mut results = Results::default();
                Turn { stage, contender, round }.take(&mut results);
                if !results.failed.is_empty() {
                    return;
                }
                round -= 1;
            }
        }
    }

    /// Takes the turns of all rounds. What was measured is kept after each of them, so that it is not
    /// lost with a run that is cut short.
    pub(crate) fn measure(
        &mut self,
        stage: &Stage<'_>,
        results: &mut Results,
        mut keep: impl FnMut(&Results) -> Outcome,
    ) -> Outcome {
        for round in 0..stage.cell.rounds {
            let mut order = stage.cell.contenders.clone();
            if round % 2 == 1 {
                order.reverse();
            }
            for contender in order {
                self.done += 1;
                let (done, of, seconds) = (self.done, self.of, self.seconds());
                eprintln!("turn {done} of {of}, after {seconds} s: {}", contender.name());
                Turn { stage, contender, round: self.round }.take(results);
                keep(results)?;
            }
            self.round += 1;
        }
        Ok(())
    }
}
