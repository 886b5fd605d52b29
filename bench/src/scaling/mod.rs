//! `antiphon-bench scaling`: how many partitions, brokers and instances a load takes, and what that
//! costs.
//!
//! | module | what it holds |
//! |---|---|
//! | `measured` | all the figures that a plan stands on |
//! | `line` | what a request costs by how many share a batch |
//! | `bytes` | how large it is on the wire and on disk |
//! | `plan` | the arithmetic |
//! | `page` | a plan in words, and the table of docs/scaling.md |
//! | `log` | the batches that brokers have written |
//! | `measure` | `antiphon-bench scaling-measure`: the figures, and the check of the plan |

mod bytes;
mod line;
mod log;
mod measure;
mod measured;
mod page;
mod plan;

use clap::Args;

use self::bytes::Names;
pub(crate) use self::measure::{Options as MeasureOptions, measure};
use self::plan::{Costs, Demand, Machines, plan};
use crate::Outcome;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Requests per second at the busiest time; several make a table.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0])]
    rate: Vec<f64>,
    /// Bytes of a request.
    #[arg(long, default_value_t = 128)]
    payload: usize,
    /// Bytes of a reply; as many as of a request unless said.
    #[arg(long)]
    reply_payload: Option<usize>,
    /// Processor time of the handler, in microseconds.
    #[arg(long, default_value_t = 0.0)]
    handler_us: f64,
    /// For how long a batch may be collected under load, in milliseconds, of which there are two on
    /// a request's way.
    #[arg(long, default_value_t = 2.0)]
    batch_ms: f64,
    /// Requesters that there are in any case, because the application has so many instances.
    #[arg(long)]
    requesters: Option<u32>,
    /// Replicas of each partition.
    #[arg(long, default_value_t = 3)]
    replicas: u8,
    /// How long records are kept, in seconds.
    #[arg(long, default_value_t = 3_600.0)]
    retention: f64,
    /// Processors of an instance.
    #[arg(long)]
    instance_cores: Option<f64>,
    /// Processors of a broker.
    #[arg(long)]
    broker_cores: Option<f64>,
    /// A broker's network, in Gbit/s.
    #[arg(long)]
    broker_gbit: Option<f64>,
    /// What a broker's disk takes, in MB/s.
    #[arg(long)]
    broker_disk: Option<f64>,
    /// The share of everything that may be used at the busiest time.
    #[arg(long)]
    utilisation: Option<f64>,
    /// Dollars for a core and an hour.
    #[arg(long)]
    core_hour: Option<f64>,
    /// Clusters that share the load; the cheapest number unless said.
    #[arg(long)]
    cells: Option<u32>,
}

/// Prints a plan, or a table of several.
pub(crate) fn scaling(options: &Options) -> Outcome {
    options.check()?;
    let plans = options.plans();
    match &plans[..] {
        [(demand, plan)] => print!("{}", page::words(demand, plan)),
        several => print!("{}", page::table(several)),
    }
    Ok(())
}

impl Options {
    fn plans(&self) -> Vec<(Demand, plan::Plan)> {
        let (machines, costs) = (self.machines(), Costs::measured());
        let plan_for = |&rate: &f64| {
            let demand = self.demand(rate);
            let plan = match self.cells {
                Some(cells) => plan::Plan::of(cells, &demand, &machines, &costs),
                None => plan(&demand, &machines, &costs),
            };
            (demand, plan)
        };
        self.rate.iter().map(plan_for).collect()
    }

    fn demand(&self, rate: f64) -> Demand {
        Demand {
            rate,
            names: Names::USUAL,
            request_payload: self.payload,
            reply_payload: self.reply_payload.unwrap_or(self.payload),
            handler_us: self.handler_us,
            batch_s: self.batch_ms / 1e3,
            replicas: f64::from(self.replicas),
            retention_s: self.retention,
            requesters: self.requesters.map(f64::from),
        }
    }

    fn machines(&self) -> Machines {
        let usual = Machines::default();
        Machines {
            instance_cores: self.instance_cores.unwrap_or(usual.instance_cores),
            broker_cores: self.broker_cores.unwrap_or(usual.broker_cores),
            broker_network: self.broker_gbit.map_or(usual.broker_network, |gbit| gbit * 1e9 / 8.0),
            broker_disk: self.broker_disk.map_or(usual.broker_disk, |megabytes| megabytes * 1e6),
            utilisation: self.utilisation.unwrap_or(usual.utilisation),
            core_hour: self.core_hour.unwrap_or(usual.core_hour),
            ..usual
        }
    }

    fn check(&self) -> Outcome {
        let machines = self.machines();
        let positive = [
            ("--instance-cores", machines.instance_cores),
            ("--broker-cores", machines.broker_cores),
            ("--broker-gbit", machines.broker_network),
            ("--broker-disk", machines.broker_disk),
            ("--utilisation", machines.utilisation),
            ("--batch-ms", self.batch_ms),
            ("--replicas", f64::from(self.replicas)),
            ("--cells", f64::from(self.cells.unwrap_or(1))),
            ("--requesters", f64::from(self.requesters.unwrap_or(1))),
        ];
        let rates = self.rate.iter().map(|&rate| ("--rate", rate));
        for (name, value) in positive.into_iter().chain(rates) {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("{name} is {value}; it has to be more than 0").into());
            }
        }
        let not_negative = [
            ("--handler-us", self.handler_us),
            ("--retention", self.retention),
            ("--core-hour", machines.core_hour),
        ];
        for (name, value) in not_negative {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("{name} is {value}; it has to be 0 or more").into());
            }
        }
        let bounds = [("--utilisation", machines.utilisation, 1.0)];
        let rates = self.rate.iter().map(|&rate| ("--rate", rate, 1e9));
        for (name, value, most) in bounds.into_iter().chain(rates) {
            if value > most {
                return Err(format!("{name} is {value}; it has to be {most} at most").into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
