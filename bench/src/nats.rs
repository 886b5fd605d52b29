//! A NATS server with JetStream, for as long as a run takes.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::Outcome;

const START: Duration = Duration::from_secs(30);

/// The server; it ends when this is dropped, and with this process.
pub(crate) struct NatsServer {
    child: Child,
    pub(crate) url: String,
    /// Where streams are stored; it goes when the server has.
    _data: TempDir,
}

impl NatsServer {
    pub(crate) fn start(program: &str) -> Outcome<Self> {
        let data = TempDir::new()?;
        let ports = data.path().join("ports");
        fs::create_dir(&ports)?;
        // A server must not outlive a run that was killed.
        let mut server = Command::new("setpriv");
        server.args(["--pdeathsig", "KILL", program, "--jetstream", "--addr", "127.0.0.1"]);
        server.args(["--port", "-1", "--ports_file_dir"]).arg(&ports);
        server.arg("--store_dir").arg(data.path().join("store"));
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = server.spawn()?;
        let began = Instant::now();
        let url = loop {
            if let Some(url) = url_in(&ports) {
                break url;
            }
            if let Some(status) = child.try_wait()? {
                return Err(format!("nats-server ended: {status}").into());
            }
            if began.elapsed() > START {
                let _ = child.kill();
                let _ = child.wait();
                return Err("nats-server did not start".into());
            }
            thread::sleep(Duration::from_millis(50));
        };
        Ok(Self { child, url, _data: data })
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server writes the ports that it has chosen into a file named by its process.
fn url_in(folder: &Path) -> Option<String> {
    let file = fs::read_dir(folder).ok()?.flatten().next()?.path();
    let ports: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    Some(ports["nats"].as_array()?.first()?.as_str()?.to_owned())
}
