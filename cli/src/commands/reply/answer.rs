//! What requests are answered with: their payload, what a command prints, or what a server says.

use antiphon::replier::{RawReply, RawRequest};
use antiphon::{Context, Router, Status};
use clap::Args;
use futures::{StreamExt, stream};

use super::command::Program;
use super::http::Server;
use super::simulated::Simulated;

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Answer {
    /// Answer with the request's payload.
    #[arg(long)]
    echo: bool,
    /// Answer with the request's payload in upper case.
    #[arg(long)]
    upper: bool,
    /// Answer with what this shell command prints; it reads the payload from standard input.
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// Answer with what the server at this URL says, an `http://` one: the payload is sent to it by
    /// POST. Errors of HTTP become errors of the same meaning.
    #[arg(long, value_name = "URL")]
    http: Option<Server>,
}

impl Answer {
    /// The one handler of the topic.
    pub(super) fn router(
        &self,
        topic: &str,
        stream: Option<u64>,
        simulated: &Simulated,
        max_output: usize,
    ) -> Router {
        let simulation = simulated.start();
        if let Some(command) = &self.command {
            let program = Program::new(command, max_output);
            return Router::new().handle_any(topic, move |request, context| {
                let (program, simulation) = (program.clone(), simulation.clone());
                async move {
                    simulation.run().await?;
                    program.run(request, context).await
                }
            });
        }
        if let Some(server) = &self.http {
            let client = server.client(max_output);
            return Router::new().handle_any(topic, move |request, context| {
                let (client, simulation) = (client.clone(), simulation.clone());
                async move {
                    simulation.run().await?;
                    client.ask(request, context).await
                }
            });
        }
        let upper = self.upper;
        let reply = move |request: RawRequest| match upper {
            true => RawReply::new(uppercase(&request.payload)),
            false => RawReply::new(request.payload),
        };
        match stream {
            Some(replies) => Router::new().handle_any_stream(topic, move |request, _: Context| {
                let (reply, simulation) = (reply(request), simulation.clone());
                stream::once(async move { simulation.run().await }).flat_map(move |begun| {
                    let reply = reply.clone();
                    let replies = if begun.is_ok() { replies } else { 0 };
                    let items = (0..replies).map(move |_| Ok::<_, Status>(reply.clone()));
                    stream::iter(begun.err().map(Err).into_iter().chain(items))
                })
            }),
            None => Router::new().handle_any(topic, move |request, _: Context| {
                let simulation = simulation.clone();
                async move {
                    simulation.run().await?;
                    Ok::<_, Status>(reply(request))
                }
            }),
        }
    }
}

/// Upper case for text; bytes that are not text stay as they are, but for ASCII letters.
fn uppercase(payload: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(payload) {
        Ok(text) => text.to_uppercase().into_bytes(),
        Err(_) => payload.to_ascii_uppercase(),
    }
}
