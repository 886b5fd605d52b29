//! The contenders that are programs of their own: fetched and built by `scripts/bench-peers.sh`.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::contenders::{Contender, Maker};

/// Where the peers' programs are, and what is missing.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// Paths by the names that the script gives them.
    found: HashMap<String, String>,
    pub(crate) missing: Vec<String>,
}

impl Peers {
    /// Has the script fetch and build what these contenders need; it builds nothing twice.
    pub(crate) fn fetch(contenders: &[Contender]) -> Outcome<Self> {
        if contenders.iter().all(|contender| contender.maker() == Maker::Here) {
            return Ok(Self::default());
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/bench-peers.sh");
        let output = Command::new(&script).stderr(std::process::Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{} failed", script.display()).into());
        }
        Ok(Self::from_lines(&String::from_utf8(output.stdout)?))
    }

    /// Why a contender cannot take part.
    pub(crate) fn lacks(&self, contender: Contender) -> Option<String> {
        let needed: &[&str] = match contender.maker() {
            Maker::Here => &[],
            Maker::Spring => &["spring"],
            Maker::Rust => &["rust"],
            Maker::Nats => &["rust", "nats-server"],
        };
        let lacking = needed.iter().find(|name| !self.found.contains_key(**name))?;
        let why = self.missing.iter().find(|missing| missing.starts_with(*lacking));
        let why =
            why.map_or(*lacking, |missing| missing.split_once(' ').map_or("", |(_, why)| why));
        Some(format!("{}: {why}", contender.name()))
    }

    /// The program that is a contender's `requester` or `replier`.
    pub(crate) fn command(&self, contender: Contender) -> Outcome<Command> {
        Ok(match contender.maker() {
            Maker::Here => Command::new(std::env::current_exe()?),
            Maker::Rust | Maker::Nats => Command::new(self.path("rust")?),
            Maker::Spring => {
                let mut java = Command::new("java");
                java.args(["-Xms512m", "-Xmx2g", "-cp", self.path("spring")?]);
                java.arg("antiphon.bench.Main");
                java
            }
        })
    }

    /// A path that the script has told.
    pub(crate) fn path(&self, name: &str) -> Outcome<&str> {
        Ok(self.found.get(name).ok_or_else(|| format!("{name} is not there"))?)
    }

    fn from_lines(lines: &str) -> Self {
        let mut peers = Self::default();
        for line in lines.lines() {
            match line.split_once(' ') {
                Some(("missing", rest)) => peers.missing.push(rest.to_owned()),
                Some((name, path)) => _ = peers.found.insert(name.to_owned(), path.to_owned()),
                None => {}
            }
        }
        peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_to_those_that_need_it() {
        let peers = Peers::from_lines("rust /p/rust\nmissing nats-server Go is missing\n");
        assert_eq!(peers.lacks(Contender::Grpc), None);
        assert_eq!(peers.lacks(Contender::Nats).as_deref(), Some("nats: Go is missing"));
        assert!(peers.lacks(Contender::Spring).is_some());
        assert_eq!(peers.lacks(Contender::Antiphon), None);
    }
}
