//! The plan: how many of everything a load takes. Pure arithmetic on what was measured.

use super::bytes::{Names, Records};
use super::line::Line;

/// Cells that are tried: with more of them there would be other trouble than their number.
const CELLS: [u32; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// Fewer of either would not outlive the loss of one.
const FEWEST_INSTANCES: f64 = 2.0;
/// Partitions for each of those who share them, so that shares are nearly even and more can come.
const SPARE: f64 = 2.0;
const KIB: f64 = 1024.0;

/// What is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Demand {
    /// Requests per second, at the busiest time.
    pub(crate) rate: f64,
    pub(crate) names: Names,
    pub(crate) request_payload: usize,
    pub(crate) reply_payload: usize,
    /// Processor time of the handler itself.
    pub(crate) handler_us: f64,
    /// For how long a batch may be collected, of which there are two on a request's way. Latency
    /// is about twice that under load.
    pub(crate) batch_s: f64,
    /// Replicas of each partition.
    pub(crate) replicas: f64,
    /// How long records are kept.
    pub(crate) retention_s: f64,
    /// As many requesters as there are, for whatever reason; `None`: as many as are needed.
    pub(crate) requesters: Option<f64>,
}

/// What there is to run it on, and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Machines {
    /// Processors of a requester's or replier's instance, and of a broker.
    pub(crate) instance_cores: f64,
    pub(crate) broker_cores: f64,
    /// Each way, bytes per second.
    pub(crate) broker_network: f64,
    /// Writes, bytes per second.
    pub(crate) broker_disk: f64,
    /// Replicas of partitions that a broker holds.
    pub(crate) broker_replicas: f64,
    /// The share of all that may be used at the busiest time.
    pub(crate) utilisation: f64,
    /// Money: for a core and an hour, a GB between zones, a GB of disk and a month.
    pub(crate) core_hour: f64,
    pub(crate) zone_gb: f64,
    pub(crate) disk_gb_month: f64,
    /// The share of transfers that goes to another zone.
    pub(crate) cross_zone: f64,
}

/// What was measured of one requester, one replier and one broker: see `measured`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Costs {
    pub(crate) requester: Line,
    pub(crate) replier: Line,
    /// Of all brokers together, without further replicas.
    pub(crate) broker: Line,
    /// Added for each further replica of what is written for a request.
    pub(crate) replica_us: f64,
    /// Added for each KiB of payload, there and back.
    pub(crate) requester_kib_us: f64,
    pub(crate) replier_kib_us: f64,
    pub(crate) broker_kib_us: f64,
    /// The payload that the lines were measured with, there and back.
    pub(crate) payload: f64,
    /// Requests per second that one instance was seen to do: one of its threads reads them all.
    pub(crate) instance_rate: f64,
}

/// Batches for each record, of requests and of replies, and requests that fetch them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Batches {
    pub(crate) requests: f64,
    pub(crate) requests_fetched: f64,
    pub(crate) replies: f64,
    pub(crate) replies_fetched: f64,
}

/// What limits the number of brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Processors,
    Network,
    Disk,
    Partitions,
    /// There must be as many as there are replicas.
    Replicas,
}

/// One of several clusters that know nothing of each other, or the only one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    pub(crate) rate: f64,
    pub(crate) requesters: f64,
    pub(crate) repliers: f64,
    pub(crate) brokers: f64,
    pub(crate) request_partitions: f64,
    pub(crate) reply_partitions: f64,
    /// Microseconds for a request: of requesters, of repliers with their handlers, of brokers.
    pub(crate) requester_us: f64,
    pub(crate) replier_us: f64,
    pub(crate) broker_us: f64,
    pub(crate) batches: Batches,
    /// Bytes of a request and its reply, once.
    pub(crate) bytes: f64,
    pub(crate) limit: Limit,
}

/// All that a load takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) cells: u32,
    pub(crate) cell: Cell,
    /// Bytes per second of all brokers together, from clients and between brokers; the same in as out.
    pub(crate) network: f64,
    /// Bytes on all disks.
    pub(crate) disk: f64,
    /// Processors of all that are used, on average over a second.
    pub(crate) cores_busy: f64,
    /// Processors of all machines.
    pub(crate) cores: f64,
    /// Money for an hour at this rate, and for a million requests.
    pub(crate) per_hour: f64,
    pub(crate) per_million: f64,
}

/// The cheapest plan. Several cells are taken where one would cost more: every replier answers every
/// requester, so in a large cluster little goes from one to the other, and batches are small.
pub(crate) fn plan(demand: &Demand, machines: &Machines, costs: &Costs) -> Plan {
    let plans = CELLS.map(|cells| Plan::of(cells, demand, machines, costs));
    let cheapest = plans.into_iter().min_by(|a, b| a.per_hour.total_cmp(&b.per_hour));
    cheapest.expect("there are several numbers of cells")
}

impl Plan {
    pub(crate) fn of(cells: u32, demand: &Demand, machines: &Machines, costs: &Costs) -> Self {
        let number = f64::from(cells);
        // Requesters that are there in any case are shared out.
        let requesters = demand.requesters.map(|all| (all / number).ceil());
        let demand = Demand { rate: demand.rate / number, requesters, ..demand.clone() };
        let cell = Cell::fit(&demand, machines, costs);
        let rate = demand.rate * number;
        let written = rate * cell.bytes * demand.replicas;
        let disk = written * demand.retention_s;
        let instances = (cell.requesters + cell.repliers) * machines.instance_cores;
        let cores = number * (instances + cell.brokers * machines.broker_cores);
        // Once to the broker, once from it, and once to each further replica.
        let transfers = rate * cell.bytes * (demand.replicas + 1.0);
        let per_hour = cores * machines.core_hour
            + transfers * machines.cross_zone * 3_600.0 / 1e9 * machines.zone_gb
            + disk / 1e9 * machines.disk_gb_month / 730.0;
        Self {
            cells,
            network: written,
            disk,
            cores_busy: rate * (cell.requester_us + cell.replier_us + cell.broker_us) / 1e6,
            cores,
            per_hour,
            per_million: per_hour / (rate * 3_600.0) * 1e6,
            cell,
        }
    }
}

impl Cell {
    /// Begins with the fewest and adds what is missing until nothing is. More instances make smaller
    /// batches, which cost more; but no cost exceeds the highest measured, so this ends.
    fn fit(demand: &Demand, machines: &Machines, costs: &Costs) -> Self {
        let (mut requesters, mut repliers) =
            (demand.requesters.unwrap_or(FEWEST_INSTANCES), FEWEST_INSTANCES);
        let mut brokers = demand.replicas;
        loop {
            let cell = Self::with(requesters, repliers, brokers, demand, machines, costs);
            let instances = |micros: f64| {
                let by_processor = demand.rate * micros / 1e6 / machines.instance_cores;
                let by_thread = demand.rate / costs.instance_rate;
                (by_processor / machines.utilisation).max(by_thread).ceil()
            };
            let wanted = (
                requesters.max(instances(cell.requester_us)),
                repliers.max(instances(cell.replier_us)),
                brokers.max(cell.needs(demand, machines).1.ceil()),
            );
            if wanted == (requesters, repliers, brokers) {
                return cell;
            }
            (requesters, repliers, brokers) = wanted;
        }
    }

    /// What so many of each cost.
    pub(crate) fn with(
        requesters: f64,
        repliers: f64,
        brokers: f64,
        demand: &Demand,
        machines: &Machines,
        costs: &Costs,
    ) -> Self {
        let batches = Batches::of(requesters, repliers, brokers, demand);
        let (request_payload, reply_payload) =
            (count(demand.request_payload), count(demand.reply_payload));
        let kib = (request_payload + reply_payload - costs.payload).max(0.0) / KIB;
        let records = Records::of(demand.names, demand.request_payload, demand.reply_payload);
        let mut cell = Self {
            rate: demand.rate,
            requesters,
            repliers,
            brokers,
            request_partitions: (SPARE * repliers).max(brokers),
            reply_partitions: (SPARE * requesters).max(brokers),
            requester_us: costs.requester.at(batches.requester()) + kib * costs.requester_kib_us,
            replier_us: costs.replier.at(batches.replier())
                + kib * costs.replier_kib_us
                + demand.handler_us,
            broker_us: costs.broker.at(f64::midpoint(batches.requester(), batches.replier()))
                + kib * costs.broker_kib_us
                + (demand.replicas - 1.0) * costs.replica_us,
            batches,
            bytes: records.both(batches.requests, batches.replies),
            limit: Limit::Replicas,
        };
        cell.limit = cell.needs(demand, machines).0;
        cell
    }

    /// How many brokers there must be, and because of what.
    fn needs(&self, demand: &Demand, machines: &Machines) -> (Limit, f64) {
        let bytes = self.rate * self.bytes * demand.replicas;
        let usable = machines.utilisation;
        let replicas = (self.request_partitions + self.reply_partitions) * demand.replicas;
        let needs = [
            (Limit::Replicas, demand.replicas),
            (Limit::Processors, self.rate * self.broker_us / 1e6 / machines.broker_cores / usable),
            // As much goes out as comes in: once to a client, and once to each further replica.
            (Limit::Network, bytes / machines.broker_network / usable),
            (Limit::Disk, bytes / machines.broker_disk / usable),
            (Limit::Partitions, replicas / machines.broker_replicas),
        ];
        let most = needs.into_iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
        most.expect("there are several needs")
    }
}

impl Batches {
    /// A batch is what comes by one way while it is collected, and a single record if nothing else
    /// does.
    fn of(requesters: f64, repliers: f64, brokers: f64, demand: &Demand) -> Self {
        let by_each_of = |ways: f64| (ways / (demand.rate * demand.batch_s)).min(1.0);
        Self {
            // For some milliseconds a requester sends all to one partition.
            requests: by_each_of(requesters),
            // A replier fetches from each broker, from all partitions at once.
            requests_fetched: by_each_of(repliers * brokers),
            // A produce request of librdkafka carries records of one partition, and each requester
            // has its own.
            replies: by_each_of(repliers * requesters),
            // A requester reads one partition.
            replies_fetched: by_each_of(requesters),
        }
    }

    /// What goes through a requester.
    fn requester(self) -> f64 {
        f64::midpoint(self.requests, self.replies_fetched)
    }

    /// What goes through a replier.
    fn replier(self) -> f64 {
        f64::midpoint(self.replies, self.requests_fetched)
    }
}

#[expect(clippy::cast_precision_loss, reason = "payloads are far below 2^52 bytes")]
fn count(number: usize) -> f64 {
    number as f64
}
