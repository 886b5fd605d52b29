//! Where Kafka's jars come from: a folder that the user names, or a cache that Maven fills once.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::leash::Leashed;
use super::log::tail;
use crate::TestkitError;

/// The one file that says which Kafka it is. `scripts/kafka-libs.sh` reads it too.
const POM: &str = include_str!("../../kafka/pom.xml");

/// Names a folder of jars, and so switches the cache and Maven off.
const LIBS_VARIABLE: &str = "ANTIPHON_KAFKA_LIBS";

/// Maven fetches some 45 MB. This much time is for slow networks, not for a normal fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(600);

const INSTALL_MAVEN: &str = "fetching the jars of Apache Kafka needs Maven. Install it, for \
    example `apt-get install -y openjdk-17-jre-headless maven`, or name a folder that holds the \
    jars by ANTIPHON_KAFKA_LIBS";

/// The folder with Kafka's jars: `named`, else what the environment names, else the cache.
pub(super) fn locate(named: Option<&Path>) -> Result<PathBuf, TestkitError> {
    let variable = || env::var_os(LIBS_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(folder) = named.map(Path::to_owned).or_else(variable) {
        return if holds_kafka(&folder) {
            Ok(folder)
        } else {
            Err(TestkitError::NoKafkaLibs { folder })
        };
    }
    Cache { folder: cache_folder()?, maven: "mvn" }.libs()
}

/// The version of Kafka that is fetched.
fn version() -> &'static str {
    let after = POM.split_once("<kafka.version>").map_or("", |(_, after)| after);
    after.split_once("</kafka.version>").map_or("", |(version, _)| version)
}

fn cache_folder() -> Result<PathBuf, TestkitError> {
    let variable = |name| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    variable("XDG_CACHE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("antiphon"))
        .ok_or_else(|| TestkitError::InvalidSetting {
            field: "XDG_CACHE_HOME",
            problem: "neither it nor HOME is set, so there is no place to cache the jars of \
                      Apache Kafka: set one, or ANTIPHON_KAFKA_LIBS"
                .into(),
        })
}

fn holds_kafka(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("kafka_") && name.ends_with(".jar")
        })
    })
}

/// Finds a program as the shell would.
fn find_program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Path::new(name).is_file().then(|| name.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The folder that keeps the jars between runs, and the program that fills it.
struct Cache<'a> {
    folder: PathBuf,
    maven: &'a str,
}

impl Cache<'_> {
    /// The jars' folder, fetched first if this machine has never done so.
    fn libs(&self) -> Result<PathBuf, TestkitError> {
        let libs = self.folder.join(format!("kafka-{}", version()));
        if holds_kafka(&libs) {
            return Ok(libs);
        }
        let maven = find_program(self.maven).ok_or_else(|| TestkitError::ProgramMissing {
            program: self.maven.to_owned(),
            fix: INSTALL_MAVEN,
        })?;
        let io = |doing: &str, path: &Path| TestkitError::io(format!("{doing} {}", path.display()));
        fs::create_dir_all(&self.folder).map_err(io("create", &self.folder))?;

        // One fetch at a time, over all processes; the system lets go of the lock of a process
        // that dies. The fetch itself is bounded, hence so is this wait.
        let lock_path = self.folder.join(format!("kafka-{}.lock", version()));
        let lock = File::create(&lock_path).map_err(io("create", &lock_path))?;
        lock.lock().map_err(io("lock", &lock_path))?;
        if !holds_kafka(&libs) {
            self.fetch(&maven, &libs)?;
        }
        Ok(libs)
    }

    /// Fetches into a folder beside the final one and renames it, so that nobody ever sees half of
    /// the jars.
    fn fetch(&self, maven: &Path, libs: &Path) -> Result<(), TestkitError> {
        let io = |doing: &str, path: &Path| TestkitError::io(format!("{doing} {}", path.display()));
        let staging = tempfile::Builder::new()
            .prefix(".kafka-")
            .tempdir_in(&self.folder)
            .map_err(io("create a folder in", &self.folder))?;
        let [pom, log, fetched] = ["pom.xml", "maven.log", "libs"].map(|f| staging.path().join(f));
        fs::write(&pom, POM).map_err(io("write", &pom))?;
        let mut arguments: Vec<std::ffi::OsString> = vec!["-q".into(), "-B".into(), "-f".into()];
        arguments.push(pom.into());
        arguments.push("dependency:copy-dependencies".into());
        let mut target = std::ffi::OsString::from("-DoutputDirectory=");
        target.push(&fetched);
        arguments.push(target);

        let failed = |problem: String| TestkitError::Fetch {
            version: version().to_owned(),
            problem,
            log: tail(&log),
        };
        let mut process = Leashed::spawn(maven, arguments, &log).map_err(io("run", maven))?;
        match process.wait(FETCH_TIMEOUT).map_err(io("wait for", maven))? {
            None => return Err(failed(format!("no end after {} s", FETCH_TIMEOUT.as_secs()))),
            Some(status) if !status.success() => return Err(failed(status.to_string())),
            Some(_) if !holds_kafka(&fetched) => {
                return Err(failed("it ended well and left no kafka_*.jar".into()));
            }
            Some(_) => {}
        }
        match fs::rename(&fetched, libs) {
            // A fetch by a program that does not know the lock was quicker.
            Err(_) if holds_kafka(libs) => Ok(()),
            renamed => renamed.map_err(io("rename the fetched jars to", libs)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;
    use std::thread;

    use super::*;

    /// A program in Maven's place: it counts its runs, and does `body` with `$libs` set.
    fn fake_maven(folder: &Path, body: &str) -> String {
        let program = folder.join("fake-mvn");
        let script = format!(
            "#!/bin/sh\nfor a in \"$@\"; do libs=\"${{a#-DoutputDirectory=}}\"; done\n\
             echo run >>{}/runs\n{body}\n",
            folder.display()
        );
        // A process that another test starts just now has for a moment all files that are open here, and
        // a program that anybody has open for writing cannot be run: so another process writes it.
        let text = folder.join("fake-mvn.sh");
        fs::write(&text, script).unwrap();
        assert!(Command::new("cp").args([&text, &program]).status().unwrap().success());
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program.to_str().unwrap().to_owned()
    }

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_version_is_read_from_the_pom() {
        assert!(version().starts_with("4."), "{}", version());
    }

    #[test]
    fn many_at_once_fetch_once_and_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let maven = fake_maven(dir.path(), "mkdir -p \"$libs\"; : >\"$libs/kafka_2.13-4.jar\"");
        let folder = dir.path().join("cache");
        let all: Vec<PathBuf> = thread::scope(|scope| {
            let fetch = || Cache { folder: folder.clone(), maven: &maven }.libs().unwrap();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(fetch)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|libs| holds_kafka(libs)));
        assert_eq!(fs::read_to_string(dir.path().join("runs")).unwrap(), "run\n");
        let name = format!("kafka-{}", version());
        assert_eq!(entries(&folder), [name.clone(), format!("{name}.lock")]);
    }

    #[test]
    fn a_failed_fetch_shows_what_maven_said_and_caches_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let maven = fake_maven(dir.path(), "mkdir -p \"$libs\"; echo no route; exit 1");
        let folder = dir.path().join("cache");
        let error = Cache { folder: folder.clone(), maven: &maven }.libs().unwrap_err();
        assert!(matches!(&error, TestkitError::Fetch { log, .. } if log.contains("no route")));
        assert_eq!(entries(&folder), [format!("kafka-{}.lock", version())]);
    }

    #[test]
    fn a_missing_maven_is_named_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { folder: dir.path().to_owned(), maven: "no-such-maven" };
        let error = cache.libs().unwrap_err();
        assert!(matches!(error, TestkitError::ProgramMissing { .. }));
        let message = error.to_string();
        assert!(message.contains("no-such-maven") && message.contains("apt-get install"));
    }

    #[test]
    fn a_named_folder_without_kafka_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = locate(Some(dir.path())).unwrap_err();
        assert!(matches!(error, TestkitError::NoKafkaLibs { folder } if folder == dir.path()));
    }
}
