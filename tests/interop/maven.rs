//! Builds a Java peer with Maven, once for the same sources, and tells its class path.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs Maven and ends it when standard input closes, that is when the test process is gone.
/// Maven itself never looks at its standard input.
const MAVEN_THAT_ENDS_WITH_ITS_PARENT: &str = r#"
exec 3<&0
mvn "$@" </dev/null 3<&- & maven=$!
(read -r _ <&3; kill "$maven") >/dev/null 2>&1 & watch=$!
wait "$maven"; code=$?
kill "$watch" 2>/dev/null
exit "$code"
"#;

/// The exit code by which a shell says that there is no such command.
const NO_SUCH_COMMAND: i32 = 127;

/// The class path of the Maven project `tests/interop/<name>`, built first when its sources are
/// not those of the last build.
///
/// # Panics
/// When the project cannot be built, with what Maven said and how to mend it.
pub(crate) fn class_path(name: &str) -> OsString {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is under target");
    let built = target.join(format!("interop-{name}"));

    // Two test processes must not build into one directory; the lock goes when the file closes.
    let lock_path = target.join(format!("interop-{name}.lock"));
    let lock = File::create(&lock_path)
        .unwrap_or_else(|e| panic!("cannot create the lock file {}: {e}", lock_path.display()));
    lock.lock().unwrap_or_else(|e| panic!("cannot lock {}: {e}", lock_path.display()));

    let stamp = built.join("built-from");
    let wanted = snapshot(&sources);
    if fs::read(&stamp).is_ok_and(|found| found == wanted) {
        return jars(&built, name);
    }
    // Jars of an older version must not stay on the class path.
    if built.exists() {
        fs::remove_dir_all(&built)
            .unwrap_or_else(|e| panic!("cannot empty {}: {e}", built.display()));
    }
    build(&sources, &built);
    // Written last: a build that was cut short is done again.
    fs::write(&stamp, wanted).unwrap_or_else(|e| panic!("cannot write {}: {e}", stamp.display()));
    jars(&built, name)
}

fn jars(built: &Path, name: &str) -> OsString {
    let jar = built.join(format!("interop-{name}.jar"));
    let dependencies = built.join("dependency").join("*");
    std::env::join_paths([jar, dependencies])
        .unwrap_or_else(|e| panic!("{} cannot be on a class path: {e}", built.display()))
}

fn build(sources: &Path, built: &Path) {
    let mut maven = Command::new("sh");
    maven.args(["-c", MAVEN_THAT_ENDS_WITH_ITS_PARENT, "mvn", "-q", "-B", "-f"]);
    maven.arg(sources.join("pom.xml")).arg(format!("-DbuildDirectory={}", built.display()));
    maven.args(["package", "dependency:copy-dependencies"]);
    let Output { status, stdout, stderr } = run(maven);
    assert!(
        status.code() != Some(NO_SUCH_COMMAND),
        "mvn was not found: install Maven 3.8 or newer and a JDK of 17 or newer, \
         on Debian with `apt-get install maven openjdk-17-jdk-headless`"
    );
    assert!(
        status.success(),
        "Maven could not build {} ({status}); its first build needs JDK 17 or newer and \
         Maven Central within reach:\n{}{}",
        sources.display(),
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
}

/// `Command::output` would close standard input at once, which here means that the parent is gone.
fn run(mut command: Command) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start sh: {e}"));
    let held_open = child.stdin.take();
    let output = child.wait_with_output().unwrap_or_else(|e| panic!("cannot wait for sh: {e}"));
    drop(held_open);
    output
}

/// The names and contents of all files under `directory`, in one order.
fn snapshot(directory: &Path) -> Vec<u8> {
    let mut files = Vec::new();
    list(directory, &mut files);
    files.sort();
    let mut all = Vec::new();
    for file in files {
        all.extend_from_slice(format!("\n--- {}\n", file.display()).as_bytes());
        File::open(&file)
            .and_then(|mut open| open.read_to_end(&mut all))
            .unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()));
    }
    all
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory)
        .unwrap_or_else(|e| panic!("cannot list {}: {e}", directory.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|e| panic!("{}: {e}", directory.display())).path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}
