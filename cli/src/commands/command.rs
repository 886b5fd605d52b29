//! A shell command as a handler: payload in, reply out.

use std::process::Stdio;
use std::sync::Arc;

use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

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
        let failed = |error: std::io::Error| Status::internal(format!("the command: {error}"));
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
        let (mut output, mut complaint) = (Vec::new(), Vec::new());
        let limit = self.max_output as u64;
        let mut stdout = stdout.take(limit + 1);
        let mut stderr = stderr.take(MAX_COMPLAINT);
        // All three at once: a command may write before it has read, or read nothing at all.
        let (written, read, _) = tokio::join!(
            async {
                let written = stdin.write_all(&request.payload).await;
                drop(stdin);
                written
            },
            stdout.read_to_end(&mut output),
            stderr.read_to_end(&mut complaint),
        );
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            return Err(failed(error));
        }
        read.map_err(failed)?;
        if output.len() as u64 > limit {
            return Err(Status::internal(format!("the command printed over {limit} bytes")));
        }
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            let complaint = String::from_utf8_lossy(&complaint);
            return Err(Status::internal(format!("the command: {status}: {}", complaint.trim())));
        }
        Ok(RawReply::new(output))
    }
}

/// Bytes as the value of an environment variable, which cannot hold NUL.
fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).replace('\0', "\u{fffd}")
}
