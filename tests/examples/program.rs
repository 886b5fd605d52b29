//! Builds the examples, since cargo builds none for the sake of one test, and runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

/// No example runs longer. A healthy one takes a second or two.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs an example, which must succeed and print each of the `parts`.
pub(crate) fn check(name: &str, parts: &[&str]) {
    let program = folder().join(name);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let output = runtime.block_on(async {
        let running = tokio::process::Command::new(&program)
            // It finds no other broker than its own.
            .env_remove("ANTIPHON__KAFKA__BOOTSTRAP")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        timeout(LIMIT, running).await
    });
    let output = output.unwrap_or_else(|_| panic!("{name} did not end in {LIMIT:?}"));
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = format!("{}\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {said}");
    for part in parts {
        assert!(printed.contains(part), "{name} does not print {part:?}: {said}");
    }
}

/// Where the examples are, built from what the sources are now.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // <target>/<profile>/deps/<this program>
        let this = std::env::current_exe().expect("this program has a path");
        let profile = this.ancestors().nth(2).expect("it is in the target directory");
        let target = profile.parent().expect("profiles are in the target directory");
        let name = profile.file_name().and_then(|name| name.to_str()).expect("it is UTF-8");
        let mut cargo = Command::new(env!("CARGO"));
        // The same selection as in scripts/test.sh, so that there is nothing left to build.
        cargo.args(["build", "--workspace", "--all-features", "--locked", "--examples"]);
        cargo.args(["--profile", if name == "debug" { "dev" } else { name }]).arg("--target-dir");
        cargo.arg(target).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
        let built = cargo.output().unwrap_or_else(|error| panic!("{}: {error}", env!("CARGO")));
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "the examples cannot be built: {said}");
        profile.join("examples")
    })
}
