//! A second producer with the transactional id of another.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};

use crate::Outcome;

const ANSWER: Duration = Duration::from_secs(30);

/// Fences whoever has this id, and goes.
pub(crate) fn fence(bootstrap: &str, id: &str) -> Outcome {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("transactional.id", id)
        .create()?;
    Ok(producer.init_transactions(ANSWER)?)
}
