//! Topics of a real cluster, created and deleted by the admin protocol, blocking.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult};
use rdkafka::client::DefaultClientContext;

use super::ready;
use crate::{TestkitError, TopicSpec};

/// How long the cluster may take for an operation, elections in between included.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Creates the topics in one request. They may not have leaders yet when this returns.
pub(super) fn create_topics(
    bootstrap: &str,
    brokers: usize,
    topics: &[TopicSpec],
) -> Result<(), TestkitError> {
    let new_topics: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| {
            let replication = TopicReplication::Fixed(topic.replicas(brokers));
            let new = NewTopic::new(&topic.name, topic.partitions, replication);
            topic.config.iter().fold(new, |new, (key, value)| new.set(key, value))
        })
        .collect();
    let client = client(bootstrap)?;
    let results = block_on(client.create_topics(&new_topics, &options()))
        .map_err(TestkitError::client("create topics"))?;
    check("create", results)
}

/// Deletes a topic. Nodes may still know it when this returns.
pub(super) fn delete_topic(bootstrap: &str, name: &str) -> Result<(), TestkitError> {
    let client = client(bootstrap)?;
    let results = block_on(client.delete_topics(&[name], &options()))
        .map_err(TestkitError::client("delete a topic"))?;
    check("delete", results)
}

fn check(operation: &'static str, results: Vec<TopicResult>) -> Result<(), TestkitError> {
    results.into_iter().try_for_each(|result| {
        result.map(drop).map_err(|(topic, code)| TestkitError::Topic { operation, topic, code })
    })
}

fn client(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>, TestkitError> {
    ready::config(bootstrap).create().map_err(TestkitError::client("create an admin client"))
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(OPERATION_TIMEOUT))
        .request_timeout(Some(OPERATION_TIMEOUT + Duration::from_secs(5)))
}

/// Drives a future to its end on this thread.
///
/// An asynchronous runtime would refuse to start here when the test itself runs inside one. The
/// futures of the admin client need none: its own thread completes them, at the latest when their
/// request times out.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
