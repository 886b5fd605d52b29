//! The server: its socket, and how it runs and stops.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::connections::Connections;
use crate::{AdminError, Health, routes};

/// How long to wait when no connection can be accepted, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A server of metrics and health, which listens already and answers once it runs.
///
/// It takes one request per connection, at most 64 connections at once and 10 s for each, so that
/// slow clients cannot exhaust it. It speaks plain HTTP and asks for no password.
#[derive(Debug)]
#[must_use = "a server answers only while it runs: call `run` or `spawn`"]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

/// A server that runs; it stops when this is dropped.
#[derive(Debug)]
#[must_use = "the server stops when its handle is dropped"]
pub struct AdminHandle {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl AdminServer {
    /// Listens on an address. Port 0 takes any free port. An address other than the loopback is
    /// allowed and logged as a warning: whoever reaches it can read the metrics.
    ///
    /// # Errors
    /// [`AdminError::Bind`] if the address cannot be listened on.
    pub async fn bind(
        address: SocketAddr,
        registry: Registry,
        health: Health,
    ) -> Result<Self, AdminError> {
        let failed = |source| AdminError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "the admin server can be reached from other machines, without a password"
            );
        }
        Ok(Self { listener, address, router: routes::router(registry, health) })
    }

    /// The address it listens on, with the port that was chosen for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` completes; then requests under way have one more second.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut connections = Connections::default();
        loop {
            let pause = tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.serve(stream, self.router.clone());
                        continue;
                    }
                    Err(error) => pause_after(&error),
                },
            };
            tokio::select! {
                () = &mut shutdown => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        drop(self.listener);
        connections.finish().await;
    }

    /// Runs in a task of its own, on the runtime that this is called on.
    pub fn spawn(self) -> AdminHandle {
        let (stop, stopped) = oneshot::channel();
        let address = self.address;
        // Dropping the sender counts as well, so that a server never outlives its handle.
        let task = tokio::spawn(self.run(async { drop(stopped.await) }));
        AdminHandle { address, stop, task }
    }
}

impl AdminHandle {
    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server, and waits until its socket is closed and requests under way have ended;
    /// that takes one second at most.
    pub async fn stop(self) {
        let Self { stop, task, .. } = self;
        drop(stop);
        // It cannot have panicked in a way that matters now.
        let _ = task.await;
    }
}

fn pause_after(error: &io::Error) -> Duration {
    match error.kind() {
        // The client was gone before we looked; the next one may be there already.
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => Duration::ZERO,
        _ => {
            tracing::warn!(%error, "the admin server cannot accept connections; it tries again");
            ACCEPT_PAUSE
        }
    }
}
