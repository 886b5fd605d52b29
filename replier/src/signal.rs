//! The signals that ask a service to end.

/// Waits for SIGTERM or SIGINT (Ctrl-C).
///
/// A second signal ends the process at once, so that a drain can be cut short. A thread of its own
/// sees to that, since handlers may hold all threads of the runtime.
pub async fn shutdown_signal() {
    let (first, asked) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("antiphon-signals".to_owned());
    let started = thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(two_signals(first)),
            Err(error) => wait_in_vain(first, &error),
        }
    });
    if let Err(error) = started {
        tracing::error!(%error, "{CANNOT}");
        return std::future::pending().await;
    }
    if asked.await.is_err() {
        std::future::pending().await
    }
}

const CANNOT: &str = "cannot listen for signals; only a kill will end this process";

/// Tells of the first, and ends the process at the second.
async fn two_signals(first: tokio::sync::oneshot::Sender<()>) {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return wait_in_vain(first, &error),
    };
    signals.one().await;
    // If nobody waits for it any more, the second one still ends the process.
    let _ = first.send(());
    signals.one().await;
    // The shell's convention for a process that ended by SIGINT.
    std::process::exit(130);
}

fn wait_in_vain(first: tokio::sync::oneshot::Sender<()>, error: &std::io::Error) {
    tracing::error!(%error, "{CANNOT}");
    drop(first);
}

/// Listens from when it is made, so that no signal is missed between two.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    async fn one(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn one(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
