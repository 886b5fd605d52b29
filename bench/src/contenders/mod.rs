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
    /// The same, but that small requests may share records.
    AntiphonPacked,
    /// Antiphon at its defaults; answers taken from a queue of replies.
    AntiphonQueue,
    /// Futures, with an idempotent producer on both sides.
    AntiphonIdempotent,
    /// Futures, with one produce request in flight wherever the brokers are.
    #[value(name = "antiphon-fixed-1")]
    #[serde(rename = "antiphon-fixed-1")]
    AntiphonFixed1,
    /// The same with two.
    #[value(name = "antiphon-fixed-2")]
    #[serde(rename = "antiphon-fixed-2")]
    AntiphonFixed2,
    /// The same with five.
    #[value(name = "antiphon-fixed-5")]
    #[serde(rename = "antiphon-fixed-5")]
    AntiphonFixed5,
    /// The same with twenty.
    #[value(name = "antiphon-fixed-20")]
    #[serde(rename = "antiphon-fixed-20")]
    AntiphonFixed20,
    /// Spring Kafka without lingering.
    #[value(name = "spring-linger-0")]
    #[serde(rename = "spring-linger-0")]
    SpringLinger0,
    /// Spring Kafka that lingers for a millisecond.
    #[value(name = "spring-linger-1")]
    #[serde(rename = "spring-linger-1")]
    SpringLinger1,
    /// Spring Kafka with the client's own linger.
    Spring,
    /// JetStream: requests in a stream on disk, acknowledged; replies over core NATS.
    Jetstream,
    /// Core NATS, which stores nothing.
    Nats,
    /// Unary gRPC calls, with nothing between the two sides.
    Grpc,
}

/// Whose program a contender is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Maker {
    /// This program.
    Here,
    /// The one in bench/peers/spring.
    Spring,
    /// The one in bench/peers/rust, with nothing between its two sides.
    Rust,
    /// The same, with a NATS server between.
    Nats,
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
    /// In the order of tables and legends.
    pub(crate) const ALL: [Self; 17] = [
        Self::Floor,
        Self::Antiphon,
        Self::AntiphonPacked,
        Self::FloorIdempotent,
        Self::AntiphonIdempotent,
        Self::Stock,
        Self::SpringLinger0,
        Self::SpringLinger1,
        Self::Spring,
        Self::Jetstream,
        Self::Nats,
        Self::AntiphonQueue,
        Self::Grpc,
        Self::AntiphonFixed1,
        Self::AntiphonFixed2,
        Self::AntiphonFixed5,
        Self::AntiphonFixed20,
    ];

    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub(crate) fn maker(self) -> Maker {
        match self {
            Self::Floor | Self::FloorIdempotent | Self::Stock => Maker::Here,
            Self::Antiphon | Self::AntiphonQueue | Self::AntiphonIdempotent => Maker::Here,
            Self::AntiphonPacked | Self::AntiphonFixed1 | Self::AntiphonFixed2 => Maker::Here,
            Self::AntiphonFixed5 | Self::AntiphonFixed20 => Maker::Here,
            Self::SpringLinger0 | Self::SpringLinger1 | Self::Spring => Maker::Spring,
            Self::Grpc => Maker::Rust,
            Self::Nats | Self::Jetstream => Maker::Nats,
        }
    }

    fn is_idempotent(self) -> bool {
        matches!(self, Self::FloorIdempotent | Self::AntiphonIdempotent)
    }

    fn is_floor(self) -> bool {
        matches!(self, Self::Floor | Self::FloorIdempotent | Self::Stock)
    }

    /// Whether small requests may share records.
    fn packs_requests(self) -> bool {
        self == Self::AntiphonPacked
    }

    /// How many produce requests Antiphon may have in flight, if that does not follow the distance.
    pub(crate) fn fixed(self) -> Option<u32> {
        match self {
            Self::AntiphonFixed1 => Some(1),
            Self::AntiphonFixed2 => Some(2),
            Self::AntiphonFixed5 => Some(5),
            Self::AntiphonFixed20 => Some(20),
            _ => None,
        }
    }
}

/// Measures what standard input orders, until it ends.
pub(crate) fn request(role: &Role) -> Outcome {
    match role.contender.maker() {
        Maker::Here if role.contender.is_floor() => {
            let mut requester = floor::Requester::start(role)?;
            serve(|order| requester.measure(order))
        }
        Maker::Here => {
            let requester = antiphon::Requesting::start(role)?;
            serve(|order| requester.measure(order))
        }
        _ => Err("this contender is another program".into()),
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
    match role.contender.maker() {
        Maker::Here if role.contender.is_floor() => floor::echo(role),
        Maker::Here => antiphon::echo(role),
        _ => Err("this contender is another program".into()),
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
