//! Deletes the records of a topic up to an offset.

use std::collections::BTreeMap;

use antiphon::config::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::exit::{Failure, UNKNOWN};
use crate::output::print_line;
use crate::topics::START;

/// Deletes the records before these offsets, by partition, and prints what is left of each.
pub(super) async fn delete(
    kafka: &KafkaSettings,
    topic: &str,
    before: &BTreeMap<i32, i64>,
) -> Result<(), Failure> {
    if before.is_empty() {
        eprintln!("there is nothing to delete in `{topic}`");
        return Ok(());
    }
    let failed = |error: KafkaError| Failure::not_sent(format!("cannot delete records: {error}"));
    let mut wanted = TopicPartitionList::new();
    for (partition, offset) in before {
        wanted.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(failed)?;
    }
    let admin: AdminClient<DefaultClientContext> = kafka.admin().create().map_err(failed)?;
    let options = AdminOptions::new().request_timeout(Some(START)).operation_timeout(Some(START));
    let deleted = admin.delete_records(&wanted, &options).await.map_err(failed)?;
    let mut refused = false;
    for element in deleted.elements() {
        let (partition, asked) = (element.partition(), before.get(&element.partition()));
        match (element.error(), element.offset()) {
            (Ok(()), Offset::Offset(low)) => {
                print_line(&format!("partition {partition} begins at {low} now"));
            }
            (outcome, _) => {
                refused = true;
                let why = outcome.err().map_or_else(|| "no answer".to_owned(), |e| e.to_string());
                eprintln!(
                    "error: partition {partition} is not known to be deleted before {}: {why}; it \
                     needs the right DELETE on `{topic}`, and `delete` in its cleanup.policy",
                    asked.copied().unwrap_or_default()
                );
            }
        }
    }
    if refused { Err(Failure::said(UNKNOWN)) } else { Ok(()) }
}
