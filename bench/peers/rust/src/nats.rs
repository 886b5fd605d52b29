//! Core NATS: request-reply over a server that stores nothing.

use async_nats::{Client, ConnectOptions};
use bytes::Bytes;
use futures::StreamExt;

use crate::drive::Caller;
use crate::{Outcome, Role};

/// Messages that may wait in the client before it drops some as a slow consumer.
const WAITING: usize = 1_000_000;

/// The requester.
#[derive(Clone)]
pub(crate) struct Asking {
    client: Client,
    subject: String,
    payload: Bytes,
}

impl Asking {
    pub(crate) async fn start(role: &Role) -> Outcome<Self> {
        let client = connect(role).await?;
        Ok(Self { client, subject: role.topic.clone(), payload: vec![b'x'; role.payload].into() })
    }
}

impl Caller for Asking {
    async fn call(&self) -> Outcome {
        self.client.request(self.subject.clone(), self.payload.clone()).await?;
        Ok(())
    }
}

/// The replier.
pub(crate) async fn echo(role: &Role) -> Outcome {
    let client = connect(role).await?;
    let mut requests = client.queue_subscribe(role.topic.clone(), "repliers".into()).await?;
    client.flush().await?;
    crate::ready(None)?;
    while let Some(request) = requests.next().await {
        let Some(to) = request.reply else { continue };
        client.publish(to, request.payload).await?;
    }
    Ok(())
}

pub(crate) async fn connect(role: &Role) -> Outcome<Client> {
    let options = ConnectOptions::new().subscription_capacity(WAITING).request_timeout(None);
    Ok(options.connect(&role.bootstrap).await?)
}
