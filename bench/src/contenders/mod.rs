//! The systems that are compared, each with a requester and a replier that echoes.

mod antiphon;
mod floor;

use std::io::{self, BufRead, Write};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::contract::{Figures, Order};

/// A system that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// Raw rdkafka as tuned as we can: one produce request in flight, no linger.
    Floor,
    /// The same with an idempotent producer.
    FloorIdempotent,
    /// Raw rdkafka with its own defaults.
    Stock,
    /// Antiphon at its defaults; each call a future.
    Antiphon,
    /// The same; answers taken from a queue of replies.
    AntiphonQueue,
    /// Futures, with an idempotent producer on both sides.
    AntiphonIdempotent,
}

/// Which process of which contender this is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Role {
    pub(crate) contender: Contender,
    #[arg(long)]
    pub(crate) bootstrap: String,
    /// The request topic; replies come to `<topic>.replies`.
    #[arg(long)]
    pub(crate) topic: String,
    /// Bytes of a request, and so of its reply.
    #[arg(long, default_value_t = 128)]
    pub(crate) payload: usize,
    /// Acknowledgements that a producer waits for.
    #[arg(long, default_value = "all")]
    pub(crate) acks: String,
}

impl Contender {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn is_idempotent(self) -> bool {
        matches!(self, Self::FloorIdempotent | Self::AntiphonIdempotent)
    }
}

/// Measures what standard input orders, until it ends.
pub(crate) fn request(role: &Role) -> Outcome {
    match role.contender {
        Contender::Floor | Contender::FloorIdempotent | Contender::Stock => {
            let mut requester = floor::Requester::start(role)?;
            serve(|order| requester.measure(order))
        }
        Contender::Antiphon | Contender::AntiphonQueue | Contender::AntiphonIdempotent => {
            let requester = antiphon::Requesting::start(role)?;
            serve(|order| requester.measure(order))
        }
    }
}

/// Echoes until standard input ends.
pub(crate) fn reply(role: &Role) -> Outcome {
    std::thread::spawn(|| {
        // Whatever is read, and whether it can be: what counts is that it is over.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    println!("ready");
    match role.contender {
        Contender::Floor | Contender::FloorIdempotent | Contender::Stock => floor::echo(role),
        Contender::Antiphon | Contender::AntiphonQueue | Contender::AntiphonIdempotent => {
            antiphon::echo(role)
        }
    }
}

fn serve(mut measure: impl FnMut(Order) -> Outcome<Figures>) -> Outcome {
    let mut output = io::stdout();
    writeln!(output, "ready")?;
    for line in io::stdin().lock().lines() {
        let figures = measure(serde_json::from_str(&line?)?)?;
        writeln!(output, "{}", serde_json::to_string(&figures)?)?;
    }
    Ok(())
}
