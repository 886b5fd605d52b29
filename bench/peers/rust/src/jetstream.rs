//! JetStream: a request is stored in a stream on disk, and the server acknowledges that it is; a
//! durable consumer hands it to the replier, which acknowledges it when it has answered.
//!
//! Replies go over core NATS, as they do in such applications, and are not stored. So it promises
//! less than a reply topic does: an answer is lost when the requester is not there for a moment.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::{Context, ContextBuilder};
use async_nats::jetstream::stream::{Config, StorageType};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::oneshot;

use crate::drive::Caller;
use crate::nats::connect;
use crate::{Outcome, Role};

/// More than any loop has in flight.
const UNACKNOWLEDGED: usize = 200_000;
/// Requests that the replier asks for at once.
const BATCH: usize = 1_000;
const REPLY_TO: &str = "Reply-To";

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>;

/// The requester.
#[derive(Clone)]
pub(crate) struct Asking {
    context: Context,
    subject: String,
    inbox: Arc<str>,
    payload: Bytes,
    next: Arc<AtomicU64>,
    waiting: Waiting,
}

impl Asking {
    pub(crate) async fn start(role: &Role) -> Outcome<Self> {
        let client = connect(role).await?;
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(format!("{inbox}.*")).await?;
        client.flush().await?;
        let waiting = Waiting::default();
        let asking = Self {
            context: context(client),
            subject: role.topic.clone(),
            inbox: inbox.into(),
            payload: vec![b'x'; role.payload].into(),
            next: Arc::default(),
            waiting: Arc::clone(&waiting),
        };
        tokio::spawn(async move {
            while let Some(reply) = replies.next().await {
                let number = reply.subject.rsplit('.').next().and_then(|last| last.parse().ok());
                let Some(number) = number else { continue };
                let waiter = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
                if let Some(waiter) = waiter {
                    let _ = waiter.send(());
                }
            }
        });
        Ok(asking)
    }
}

impl Caller for Asking {
    async fn call(&self) -> Outcome {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (answered, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, answered);
        let mut headers = HeaderMap::new();
        headers.insert(REPLY_TO, format!("{}.{number}", self.inbox));
        let stored = self
            .context
            .publish_with_headers(self.subject.clone(), headers, self.payload.clone())
            .await?;
        stored.await?;
        Ok(answer.await?)
    }
}

/// The replier.
pub(crate) async fn echo(role: &Role) -> Outcome {
    let client = connect(role).await?;
    let stream = context(client.clone())
        .create_stream(Config {
            name: role.topic.clone(),
            subjects: vec![role.topic.clone()],
            storage: StorageType::File,
            ..Config::default()
        })
        .await?;
    let consumer = stream
        .create_consumer(pull::Config {
            durable_name: Some("repliers".into()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: i64::try_from(UNACKNOWLEDGED)?,
            ..pull::Config::default()
        })
        .await?;
    let mut requests = consumer.stream().max_messages_per_batch(BATCH).messages().await?;
    crate::ready(None)?;
    while let Some(request) = requests.next().await {
        let (request, acker) = request?.split();
        let to = request.headers.as_ref().and_then(|headers| headers.get(REPLY_TO));
        if let Some(to) = to {
            client.publish(to.as_str().to_owned(), request.payload).await?;
        }
        acker.ack().await?;
    }
    Ok(())
}

fn context(client: Client) -> Context {
    ContextBuilder::new().max_ack_inflight(UNACKNOWLEDGED).build(client)
}
