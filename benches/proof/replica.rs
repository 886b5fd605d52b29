//! The hold on a worker: it is started, asked, signalled and waited for. It ends with this process.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Outcome;
use crate::effects::Effects;
use crate::worker::{BEGUN, EFFECT, METRICS, Orders, READY, TELL};

/// How long anything may take that a worker is waited for: several times the session timeout, after
/// which a group gives a killed member's partitions away.
const PATIENCE: Duration = Duration::from_secs(90);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A worker that runs.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) orders: Orders,
    child: Child,
    /// Held until the end: a worker takes its close for the death of this process.
    input: ChildStdin,
    said: mpsc::UnboundedReceiver<String>,
    reader: JoinHandle<()>,
}

/// The counters and gauges of a worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Replica {
    /// Starts a worker. It may not be a member of its group yet when this returns.
    pub(crate) fn start(orders: Orders, effects: &Effects) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["worker", &serde_json::to_string(&orders)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or("a worker has no input")?;
        let output = child.stdout.take().ok_or("a worker has no output")?;
        let (tell, said) = mpsc::unbounded_channel();
        let effects = effects.clone();
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::with_capacity(1 << 16, output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match line.strip_prefix(EFFECT) {
                    Some(effect) => effects.note(effect),
                    // Nobody listens when the worker has been given up.
                    None => drop(tell.send(line)),
                }
            }
        });
        Ok(Self { orders, child, input, said, reader })
    }

    /// Waits until the worker is a member of its group.
    pub(crate) async fn ready(&mut self) -> Outcome {
        self.hear(READY).await.map(drop)
    }

    /// Waits until a handler that will not end has begun with this request.
    pub(crate) async fn begun(&mut self, id: &str) -> Outcome {
        self.hear(&format!("{BEGUN}{id}")).await.map(drop)
    }

    pub(crate) async fn metrics(&mut self) -> Outcome<Metrics> {
        self.input.write_all(format!("{TELL}\n").as_bytes()).await?;
        let line = self.hear(METRICS).await?;
        Ok(Metrics(serde_json::from_str(&line)?))
    }

    /// Waits until the metrics are as they should be.
    pub(crate) async fn until(&mut self, what: &str, is: impl Fn(&Metrics) -> bool) -> Outcome {
        let waited = timeout(PATIENCE, async {
            while !is(&self.metrics().await?) {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Ok(())
        });
        waited
            .await
            .map_err(|_| format!("{}: not within {PATIENCE:?}: {what}", self.orders.name))?
    }

    /// Waits until it holds so many partitions.
    pub(crate) async fn holds(&mut self, partitions: i32) -> Outcome {
        let wanted = f64::from(partitions);
        let held =
            |metrics: &Metrics| metrics.get("antiphon_replier_assigned_partitions") == wanted;
        self.until(&format!("{partitions} partitions"), held).await
    }

    /// Asks it to end in good order, and waits until it has.
    pub(crate) async fn stop(mut self) -> Outcome {
        self.signal(Signal::TERM)?;
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.map_err(|_| format!("{} does not end", self.orders.name))??;
        self.reader.await?;
        if status.success() { Ok(()) } else { Err(format!("a graceful end: {status}").into()) }
    }

    /// Kills it, and returns when all that it told has been heard.
    pub(crate) async fn kill(self) -> Outcome {
        self.signal(Signal::KILL)?;
        self.killed().await
    }

    /// Waits for the end of a worker that kills itself.
    pub(crate) async fn killed(mut self) -> Outcome {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.map_err(|_| format!("{} was not killed", self.orders.name))??;
        self.reader.await?;
        // A process that a signal ended has no exit code.
        match status.code() {
            None => Ok(()),
            Some(_) => Err(format!("{} was to be killed: {status}", self.orders.name).into()),
        }
    }

    /// Whether it still runs.
    pub(crate) fn check_alive(&mut self) -> Outcome {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} ended by itself: {status}", self.orders.name).into()),
        }
    }

    fn signal(&self, signal: Signal) -> Outcome {
        let id = self.child.id().ok_or("the worker has ended already")?;
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).ok_or("no process id")?;
        Ok(kill_process(id, signal)?)
    }

    /// What follows this beginning in the next line that has it.
    async fn hear(&mut self, beginning: &str) -> Outcome<String> {
        let name = &self.orders.name;
        let heard = timeout(PATIENCE, async {
            while let Some(line) = self.said.recv().await {
                if let Some(rest) = line.strip_prefix(beginning) {
                    return Ok(rest.to_owned());
                }
            }
            Err(format!("{name} ended before it said `{beginning}`"))
        });
        Ok(heard.await.map_err(|_| format!("{name} did not say `{beginning}`"))??)
    }
}

impl Metrics {
    /// The figure of this name, labels included; 0 if there is none.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}
