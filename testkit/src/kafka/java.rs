//! Which Java runs the nodes, and whether it will do.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::TestkitError;

/// What Kafka 4 brokers need.
const OLDEST: u32 = 17;

const INSTALL: &str = "a real Apache Kafka needs Java 17 or newer. Install it, for example \
    `apt-get install -y openjdk-17-jre-headless`, or name it by JAVA_HOME or KafkaBuilder::java";

/// The Java to use: `named`, else that of JAVA_HOME, else the one on the PATH. It has been run
/// once, because a missing Java would otherwise show only as a node that ends at once.
pub(super) fn locate(named: Option<&Path>) -> Result<PathBuf, TestkitError> {
    let home = || env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
    let java = named
        .map(Path::to_owned)
        .or_else(|| home().map(|home| Path::new(&home).join("bin/java")))
        .unwrap_or_else(|| "java".into());
    let output = Command::new(&java)
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .map_err(|_| TestkitError::ProgramMissing { program: name(&java), fix: INSTALL })?;
    match major_version(&String::from_utf8_lossy(&output.stderr)) {
        Some(found) if found < OLDEST => {
            Err(TestkitError::JavaTooOld { program: name(&java), found })
        }
        // A Java that words its version in another way may well do.
        _ => Ok(java),
    }
}

fn name(java: &Path) -> String {
    java.display().to_string()
}

/// The major version in what `java -version` prints: 17 for "17.0.2", 8 for "1.8.0_392".
fn major_version(text: &str) -> Option<u32> {
    let version = text.split_once("version \"")?.1;
    let mut numbers = version.split(['.', '"', '-', '_']).map_while(|n| n.parse().ok());
    match numbers.next()? {
        1 => numbers.next(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_both_ways_of_writing() {
        assert_eq!(major_version("openjdk version \"17.0.15\" 2025-04-15\n"), Some(17));
        assert_eq!(major_version("java version \"1.8.0_392\"\n"), Some(8));
        assert_eq!(major_version("openjdk version \"24-ea\"\n"), Some(24));
        assert_eq!(major_version("something else"), None);
    }

    #[test]
    fn a_missing_java_is_named_with_the_fix() {
        let error =
            locate(Some(Path::new("/nonexistent/java"))).expect_err("there is no such file");
        let message = error.to_string();
        assert!(message.contains("/nonexistent/java") && message.contains("apt-get install"));
    }
}
