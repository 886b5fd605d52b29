//! The connections that are open, and the bounds on them: a client that is slow, or one that
//! connects again and again, must not keep probes and scrapes from their answers.

use std::collections::VecDeque;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// The most connections at once. One more ends the oldest, which has had more time than any
/// honest request needs.
const MAX_OPEN: usize = 64;

/// The time for a whole connection: one request and its answer.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// The most bytes of a request's head; hyper allows no less than half of it.
const MAX_HEAD: usize = 16 * 1024;

/// How long the open connections have when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// The connections that are open.
#[derive(Default)]
pub(crate) struct Connections {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Connections {
    /// Serves one request on a connection.
    pub(crate) fn serve(&mut self, stream: TcpStream, router: Router) {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|task| !task.is_finished());
        if self.oldest_first.len() >= MAX_OPEN
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.abort();
        }
        self.oldest_first.push_back(self.tasks.spawn(answer(stream, router)));
    }

    /// Waits for the open connections, though not for long.
    pub(crate) async fn finish(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What is still open then is ended by the drop of the tasks.
        let _ = timeout(GRACE, all).await;
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        // A scrape every few seconds is worth no open connection, and without idle connections
        // one bound on the time serves for all.
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection failed"),
        Err(_) => tracing::debug!("an admin connection took too long and was closed"),
    }
}
