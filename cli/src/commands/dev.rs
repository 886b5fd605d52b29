//! `antiphon dev`: an embedded broker, kept up for other processes.

use antiphon_testkit::{TestBroker, TopicSpec};
use clap::Args;

use crate::exit::Failure;

/// Keeps an embedded broker up until it is interrupted.
///
/// It holds everything in memory and is for trying things out, not for measuring or for data.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// A topic to create, as NAME or NAME:PARTITIONS; may be repeated. Its reply topic
    /// NAME.replies is created with it.
    #[arg(long, value_name = "NAME[:PARTITIONS]", default_value = "quotes:4", value_parser = topic)]
    topic: Vec<(String, i32)>,
}

pub(crate) async fn run(dev: &Dev) -> Result<(), Failure> {
    let topics = dev.topic.iter().flat_map(|(name, partitions)| {
        [name.clone(), format!("{name}.replies")]
            .map(|name| TopicSpec::new(name).partitions(*partitions))
    });
    let builder = topics.fold(TestBroker::mock(), |builder, topic| builder.topic_with(topic));
    let broker = builder.start().map_err(|error| Failure::usage(error.to_string()))?;
    let properties: Vec<String> = broker
        .client_properties()
        .iter()
        .map(|(name, value)| format!(" -X {name}={value}"))
        .collect();
    let (bootstrap, first) = (broker.bootstrap(), &dev.topic[0].0);
    let options = format!("-b {bootstrap}{}", properties.concat());
    println!("{bootstrap}");
    eprintln!("an embedded broker is up at {bootstrap}; Ctrl-C ends it. In other terminals:\n");
    eprintln!("  antiphon reply {first} --upper {options}");
    eprintln!("  antiphon call {first} hello {options}\n");
    antiphon::replier::shutdown_signal().await;
    Ok(())
}

/// Parses `NAME` or `NAME:PARTITIONS`.
fn topic(text: &str) -> Result<(String, i32), String> {
    let (name, partitions) = text.split_once(':').unwrap_or((text, "4"));
    match partitions.parse() {
        Ok(partitions @ 1..=1000) if !name.is_empty() => Ok((name.to_owned(), partitions)),
        _ => Err(format!("`{text}` is not NAME or NAME:PARTITIONS with 1 to 1000 partitions")),
    }
}

#[cfg(test)]
mod tests {
    use super::topic;

    #[test]
    fn topics() {
        assert_eq!(topic("a"), Ok(("a".into(), 4)));
        assert_eq!(topic("a:1"), Ok(("a".into(), 1)));
        for bad in ["", ":1", "a:0", "a:x", "a:1001"] {
            assert!(topic(bad).is_err(), "{bad}");
        }
    }
}
