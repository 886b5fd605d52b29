//! What was measured, and what machines cost: **all the figures that a plan stands on**.
//! `antiphon-bench scaling-measure` prints the first of them in this form.

use super::line::Line;
use super::plan::{Costs, Machines};

/// Of one requester, one replier and one broker; 128 bytes there and back.
pub(crate) const REQUESTER: Line = Line { record_us: 2.0, batch_us: 111.0 };
pub(crate) const REPLIER: Line = Line { record_us: 2.7, batch_us: 136.0 };
pub(crate) const BROKER: Line = Line { record_us: 0.5, batch_us: 360.0 };
/// Of the brokers for each further replica of a request and its reply, from a run with three.
pub(crate) const REPLICA_US: f64 = 10.0;
/// For each KiB of payload, there and back: requester, replier and broker.
pub(crate) const KIB_US: (f64, f64, f64) = (0.5, 0.5, 1.0);
/// Requests per second that one requester, and one replier, was seen to do.
pub(crate) const INSTANCE_RATE: f64 = 100_000.0;
/// Payload there and back in all of these, in bytes.
const PAYLOAD: f64 = 256.0;

impl Costs {
    pub(crate) fn measured() -> Self {
        let (requester_kib_us, replier_kib_us, broker_kib_us) = KIB_US;
        Self {
            requester: REQUESTER,
            replier: REPLIER,
            broker: BROKER,
            replica_us: REPLICA_US,
            requester_kib_us,
            replier_kib_us,
            broker_kib_us,
            payload: PAYLOAD,
            instance_rate: INSTANCE_RATE,
        }
    }
}

impl Default for Machines {
    /// What a cloud offers of medium size, at prices in dollars that are right to one place.
    fn default() -> Self {
        Self {
            instance_cores: 4.0,
            broker_cores: 8.0,
            broker_network: 10e9 / 8.0,
            broker_disk: 500e6,
            broker_replicas: 4_000.0,
            utilisation: 0.5,
            core_hour: 0.05,
            zone_gb: 0.02,
            disk_gb_month: 0.08,
            cross_zone: 2.0 / 3.0,
        }
    }
}
