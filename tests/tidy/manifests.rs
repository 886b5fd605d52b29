//! Rules about manifests: what the workspace says once, its crates do not say again.

use crate::tree::File;

/// The Rust version that the workspace declares.
pub(crate) fn rust_version(root: &File) -> Option<String> {
    section(root, "[workspace.package]")
        .find_map(|(_, line)| line.strip_prefix("rust-version = \""))
        .map(|rest| rest.trim_end_matches('"').to_owned())
}

/// The manifests of the workspace: the root crate's and the members'.
pub(crate) fn crates(root: &File) -> Vec<String> {
    let members =
        section(root, "[workspace]").find_map(|(_, line)| line.strip_prefix("members = "));
    let names = members.unwrap_or_default().split('"').skip(1).step_by(2);
    std::iter::once(root.path.clone())
        .chain(names.map(|name| format!("{name}/Cargo.toml")))
        .collect()
}

/// Manifests that name a Rust version where the workspace's should hold, or that name none. A
/// workspace of its own has nothing to inherit from; it must not name a version either.
pub(crate) fn with_own_rust_version(root: &File, manifests: &[File]) -> Vec<String> {
    let mut offenders = Vec::new();
    for manifest in manifests {
        let own = manifest.lines().filter(|(_, line)| {
            let key = line.split('=').next().unwrap_or_default().trim();
            matches!(key, "rust-version" | "msrv")
        });
        // The first one in the root manifest is the one that holds.
        let allowed = usize::from(manifest.path == root.path);
        offenders.extend(
            own.skip(allowed).map(|(number, line)| format!("{}:{number}: {line}", manifest.path)),
        );
        let inherits =
            section(manifest, "[package]").any(|(_, line)| line == "rust-version.workspace = true");
        let apart = manifest.path != root.path && manifest.lines().any(|(_, l)| l == "[workspace]");
        if manifest.path.ends_with("Cargo.toml") && !inherits && !apart {
            offenders.push(format!("{}: [package] does not inherit rust-version", manifest.path));
        }
    }
    offenders
}

/// The Dockerfile, when the toolchain that it builds with is not that of the workspace.
pub(crate) fn with_other_rust_version(version: &str, dockerfile: &File) -> Vec<String> {
    let expected = format!("ARG RUST_VERSION={version}");
    if dockerfile.lines().any(|(_, line)| line == expected) {
        vec![]
    } else {
        vec![dockerfile.path.clone()]
    }
}

/// Lines that speak of `Rust 1.x` where the workspace's version is another.
pub(crate) fn mentions_other_rust_version(version: &str, file: &File) -> Vec<String> {
    file.lines_where(|line| {
        line.match_indices("Rust 1.").any(|(at, _)| {
            let rest = &line[at + "Rust ".len()..];
            let named = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next();
            named.is_some_and(|named| named.trim_end_matches('.') != version)
        })
    })
}

/// The manifest, when it does not take the workspace's lints. The crate native has its own.
pub(crate) fn without_shared_lints(manifest: &File) -> Vec<String> {
    let shares = section(manifest, "[lints]").any(|(_, line)| line == "workspace = true");
    if shares || manifest.path == "native/Cargo.toml" {
        vec![]
    } else {
        vec![manifest.path.clone()]
    }
}

/// Dependencies that a crate describes by itself.
pub(crate) fn with_own_dependencies(manifest: &File) -> Vec<String> {
    ["[dependencies]", "[dev-dependencies]", "[build-dependencies]"]
        .into_iter()
        .flat_map(|name| section(manifest, name))
        .filter(|(_, line)| line.contains('=') && !line.contains("workspace = true"))
        .map(|(number, line)| format!("{}:{number}: {line}", manifest.path))
        .collect()
}

/// The lines of one table of a TOML file, with their numbers, without blank lines and comments.
fn section<'a>(file: &'a File, name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    file.lines()
        .map(|(number, line)| (number, line.trim()))
        .skip_while(move |(_, line)| *line != name)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "\
[workspace]
members = [\"a\", \"native\"]

[workspace.package]
rust-version = \"1.95\"

[package]
rust-version.workspace = true
";

    fn root() -> File {
        File::new("Cargo.toml", ROOT)
    }

    #[test]
    fn the_root_manifest_names_the_version_and_the_crates() {
        assert_eq!(rust_version(&root()).as_deref(), Some("1.95"));
        assert_eq!(crates(&root()), ["Cargo.toml", "a/Cargo.toml", "native/Cargo.toml"]);
        assert_eq!(
            rust_version(&File::new("Cargo.toml", "[package]\nrust-version = \"1.95\"")),
            None
        );
    }

    #[test]
    fn a_crate_with_a_version_of_its_own_offends() {
        let good = File::new("a/Cargo.toml", "[package]\nrust-version.workspace = true\n");
        assert!(with_own_rust_version(&root(), &[root(), good]).is_empty());

        let own = File::new("a/Cargo.toml", "[package]\nrust-version = \"1.90\"\n");
        assert_eq!(
            with_own_rust_version(&root(), &[own]),
            [
                "a/Cargo.toml:2: rust-version = \"1.90\"",
                "a/Cargo.toml: [package] does not inherit rust-version"
            ]
        );
        let apart =
            |version| File::new("b/Cargo.toml", &format!("[workspace]\n[package]\n{version}"));
        assert!(with_own_rust_version(&root(), &[apart("")]).is_empty());
        assert_eq!(with_own_rust_version(&root(), &[apart("rust-version = \"1.90\"\n")]).len(), 1);
        let clippy = File::new("clippy.toml", "msrv = \"1.90\"\n");
        assert_eq!(with_own_rust_version(&root(), &[clippy]), ["clippy.toml:1: msrv = \"1.90\""]);
        let twice = File::new("Cargo.toml", &format!("{ROOT}rust-version = \"1.95\"\n"));
        assert_eq!(with_own_rust_version(&root(), &[twice]).len(), 1);
    }

    #[test]
    fn another_version_in_the_dockerfile_or_a_document_offends() {
        let dockerfile = |text| File::new("deploy/Dockerfile", text);
        assert!(with_other_rust_version("1.95", &dockerfile("ARG RUST_VERSION=1.95\n")).is_empty());
        assert!(!with_other_rust_version("1.95", &dockerfile("ARG RUST_VERSION=1.9\n")).is_empty());
        assert!(!with_other_rust_version("1.95", &dockerfile("FROM rust:1.95\n")).is_empty());

        let document = |text| File::new("README.md", text);
        let good = document("Needs Rust 1.95. Or\nRust 1.95, and no more.");
        assert!(mentions_other_rust_version("1.95", &good).is_empty());
        let old = document("fine\nNeeds Rust 1.90.");
        assert_eq!(mentions_other_rust_version("1.95", &old), ["README.md:2: Needs Rust 1.90."]);
    }

    #[test]
    fn a_crate_without_the_shared_lints_offends() {
        let manifest = |path, text| File::new(path, text);
        assert!(
            without_shared_lints(&manifest("a/Cargo.toml", "[lints]\nworkspace = true\n"))
                .is_empty()
        );
        assert!(!without_shared_lints(&manifest("a/Cargo.toml", "[lints.rust]\n")).is_empty());
        assert!(
            !without_shared_lints(&manifest("a/Cargo.toml", "[x]\nworkspace = true\n")).is_empty()
        );
        assert!(without_shared_lints(&manifest("native/Cargo.toml", "[lints.rust]\n")).is_empty());
    }

    #[test]
    fn a_dependency_declared_in_a_crate_offends() {
        let manifest = File::new(
            "a/Cargo.toml",
            "[dependencies]\nserde.workspace = true\n# Why.\nbytes = { workspace = true, optional = true }\n\
             syn = \"2\"\n[dev-dependencies]\nquote = { version = \"1\" }\n[features]\navro = []\n",
        );
        assert_eq!(
            with_own_dependencies(&manifest),
            ["a/Cargo.toml:5: syn = \"2\"", "a/Cargo.toml:7: quote = { version = \"1\" }"]
        );
    }
}
