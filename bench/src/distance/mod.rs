//! `antiphon-bench distance`: the number of produce requests in flight that follows the distance of
//! the brokers, beside numbers that stay what they are.
//!
//! | module | what it holds |
//! |---|---|
//! | `ground` | distances, and Kafka with proxies that make them |
//! | `measured` | the file of a run: results by distance |
//! | `rivals` | the fixed number that does best, and whether it is too good |
//! | `page` | docs/benchmarks/distance.md |
//! | `pictures` | its pictures |

mod ground;
mod measured;
mod page;
mod pictures;
mod rivals;

use std::path::PathBuf;

use clap::Args;

use self::ground::{Between, Distance, Ground};
use self::measured::Measured;
use crate::Outcome;
use crate::cases::Acks;
use crate::contenders::Contender;
use crate::peers::Peers;
use crate::run::Progress;
use crate::suite::Cell;
use crate::turn::Stage;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What is added to each round trip between clients and broker, in milliseconds.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 5, 50])]
    ms: Vec<u64>,
    /// The same between three brokers that the clients are near: what acks=all then takes.
    #[arg(long, value_delimiter = ',', default_values_t = [5])]
    between_brokers_ms: Vec<u64>,
    /// Which of these ways to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Between::ClientsAndBroker, Between::Brokers])]
    between: Vec<Between>,
    /// Calls in flight of the closed loops.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 256, 1024])]
    in_flight: Vec<usize>,
    /// Produce requests in flight per connection that the adaptive number is compared with.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 5, 20])]
    fixed: Vec<u32>,
    /// Bytes of a request.
    #[arg(long, default_value_t = 128)]
    payload: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// About how long each measurement takes.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Where to write what was measured.
    #[arg(long, default_value = "target/distance.json")]
    json: PathBuf,
    /// Measure nothing, and write the page and its pictures from what a run has written.
    #[arg(long)]
    markdown: bool,
    /// The folder for the page and its pictures.
    #[arg(long, default_value = "docs/benchmarks")]
    out: PathBuf,
}

/// Measures, or writes the page.
pub(crate) fn run(options: &Options) -> Outcome {
    if options.markdown {
        return page::write(&Measured::read(&options.json)?, &options.out);
    }
    let contenders = contenders(&options.fixed)?;
    let grounds = options.grounds();
    let distances: usize = grounds.iter().map(|(_, distances)| distances.len()).sum();
    let mut progress = Progress::of(distances * options.rounds * contenders.len());
    let mut measured = Measured::default();
    for (between, distances) in grounds {
        let ground = Ground::start(between)?;
        let cell = options.cell(&contenders, ground.cluster.brokers());
        let (cluster, bootstrap) = (&ground.cluster, ground.bootstrap.as_str());
        let peers = Peers::default();
        let stage = Stage { cell: &cell, cluster, bootstrap, nats: None, peers: &peers };
        progress.warm_up(&stage);
        for added_ms in distances {
            let distance = Distance { between, added_ms };
            eprintln!("{distance}");
            ground.set(distance);
            let mut results = measured::empty();
            progress.measure(&stage, &mut results, |results| {
                measured.put(distance, results.clone());
                measured.write(&options.json)
            })?;
        }
    }
    eprintln!("written to {}, after {} s", options.json.display(), progress.seconds());
    match measured.failed() {
        0 => Ok(()),
        failed => Err(format!("{failed} measurements failed").into()),
    }
}

/// The adaptive one first, and then those with these fixed numbers.
fn contenders(fixed: &[u32]) -> Outcome<Vec<Contender>> {
    let mut contenders = vec![Contender::Antiphon];
    for requests in fixed {
        let found = rivals::FIXED.into_iter().find(|who| who.fixed() == Some(*requests));
        let Some(found) = found else {
            let known: Vec<String> =
                rivals::FIXED.iter().filter_map(|who| who.fixed()).map(|n| n.to_string()).collect();
            return Err(format!("--fixed is {requests}; it can be {}", known.join(", ")).into());
        };
        if !contenders.contains(&found) {
            contenders.push(found);
        }
    }
    Ok(contenders)
}

impl Options {
    /// The distances that each set of brokers is measured at.
    fn grounds(&self) -> Vec<(Between, Vec<u64>)> {
        let distances = |between| match between {
            Between::ClientsAndBroker => (between, self.ms.clone()),
            Between::Brokers => (between, self.between_brokers_ms.clone()),
        };
        self.between.iter().map(|between| distances(*between)).collect()
    }

    fn cell(&self, contenders: &[Contender], brokers: usize) -> Cell {
        Cell {
            contenders: contenders.to_vec(),
            brokers,
            acks: Acks::All,
            payload: vec![self.payload],
            in_flight: self.in_flight.clone(),
            percent: Vec::new(),
            rates: Vec::new(),
            rounds: self.rounds,
            seconds: self.seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fixed_number_is_a_contender_of_its_own_and_others_are_refused() {
        use Contender::{Antiphon, AntiphonFixed1, AntiphonFixed5};
        let asked = contenders(&[5, 1, 5]).expect("they are known");
        assert_eq!(asked, [Antiphon, AntiphonFixed5, AntiphonFixed1]);
        let refused = contenders(&[3]).expect_err("it is not known").to_string();
        assert!(refused.ends_with("it can be 1, 2, 5, 20"), "{refused}");
    }
}
