//! A shell command as a handler: payload in, reply out.

use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::Arc;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdout, Command};

/// How much of a command's standard error goes into the status.
const MAX_COMPLAINT: u64 = 512;

/// A shell command that answers requests.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    command: Arc<str>,
    max_output: usize,
}

impl Program {
    pub(crate) fn new(command: &str, max_output: usize) -> Self {
        Self { command: command.into(), max_output }
    }

    /// Runs the command once. It is killed when the request's time is over.
    ///
    /// Nothing of the request reaches the shell as text: the payload is standard input, and the
    /// key, topic and endpoint are environment variables.
    pub(crate) async fn run(
        &self,
        request: RawRequest,
        context: Context,
    ) -> Result<RawReply, Status> {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(&*self.command)
            .env("ANTIPHON_TOPIC", context.topic())
            .env("ANTIPHON_KEY", text(context.key().map(|key| &key[..])))
            .env("ANTIPHON_ENDPOINT", text(request.endpoint.as_deref().map(str::as_bytes)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(Status::internal("the command has no pipes"));
        };
        let write = async move {
            match stdin.write_all(&request.payload).await {
                // A command need not read all that it is given.
                Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(failed(error)),
                _ => Ok(()),
            }
        };
        // All three at once: a command may write before it has read, or read nothing at all. The
        // first failure ends the wait, and the command with it.
        let ((), output, complaint) =
            tokio::try_join!(write, output(stdout, self.max_output as u64), async {
                complaint(stderr).await.map_err(failed)
            },)?;
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            let complaint = String::from_utf8_lossy(&complaint);
            return Err(Status::internal(format!("the command: {status}: {}", complaint.trim())));
        }
        Ok(RawReply::new(output))
    }
}

/// All that a command prints, up to `limit` bytes.
async fn output(stdout: ChildStdout, limit: u64) -> Result<Vec<u8>, Status> {
    let mut output = Vec::new();
    stdout.take(limit + 1).read_to_end(&mut output).await.map_err(failed)?;
    if output.len() as u64 > limit {
        return Err(Status::internal(format!("the command printed over {limit} bytes")));
    }
    Ok(output)
}

/// The beginning of what a command complains of. The rest is read too, or the command would wait.
async fn complaint(mut stderr: ChildStderr) -> std::io::Result<Vec<u8>> {
    let mut complaint = Vec::new();
    (&mut stderr).take(MAX_COMPLAINT).read_to_end(&mut complaint).await?;
    tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
    Ok(complaint)
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn failed(error: std::io::Error) -> Status {
    Status::internal(format!("the command: {error}"))
}

/// Bytes as the value of an environment variable, which cannot hold NUL.
fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).replace('\0', "\u{fffd}")
}
