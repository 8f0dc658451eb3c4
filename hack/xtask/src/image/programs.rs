//! The static programs of the image.
//!
//! Linked with the C library into one file, they need nothing of the image. Paths of the machine are replaced before
//! they get into them, so that two folders give the same programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use scaleset_control_plane::{cargo, workspace_root};
use serde_json::Value;

use crate::say::say;

/// Programs that belong into the image, as far as this checkout has them.
const NAMES: [&str; 2] = ["scaleset-controller", "scaleset-hardware"];
const PROFILE: &str = "image";
/// What the programs have beside what they have by default.
const FEATURES: [&str; 2] = ["--features", "scaleset-controller/jemalloc"];
/// What the allocator would else ask of the machine that compiles it: how wide addresses are, as a power of two. Linux hands out
/// wider ones only to those who ask for them.
const ADDRESS_WIDTH: (&str, &str) = ("JEMALLOC_SYS_WITH_LG_VADDR", "48");
/// The same for the size of a page. A program may meet larger pages than the machine that compiled it has, never than these.
const PAGE_SIZE: &str = "JEMALLOC_SYS_WITH_LG_PAGE";
/// Cargo's own variable for what to compile for.
const TARGET: &str = "CARGO_BUILD_TARGET";

/// What was built, and from what.
pub(crate) struct Programs {
    /// Where each program is, by its name.
    pub(crate) paths: BTreeMap<String, PathBuf>,
    /// The packages that they come from.
    pub(crate) packages: Vec<String>,
    /// What cargo tells of the workspace and all that it depends on, for this machine's kind.
    pub(crate) metadata: Value,
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace_root().join("target"), PathBuf::from)
}

/// Builds the programs of the checkout at `root` in `target`; cargo shows its own progress.
pub(crate) fn build(root: &Path, target: &Path) -> anyhow::Result<Programs> {
    let triple = built_for(&host_triple()?, std::env::var(TARGET).ok().as_deref(), std::env::consts::ARCH)?;
    say("building the static programs of the image (several minutes the first time)");
    let metadata = metadata(root, &triple)?;
    let found = owners(&metadata);
    let mut command = cargo();
    command.current_dir(root).args(["build", "--locked", "--profile", PROFILE, "--target", &triple]).args(FEATURES);
    for (name, package) in &found {
        command.args(["--package", package, "--bin", name]);
    }
    command.env("CARGO_TARGET_DIR", target).env("CARGO_INCREMENTAL", "0");
    command.env(ADDRESS_WIDTH.0, ADDRESS_WIDTH.1).env(PAGE_SIZE, page_size(std::env::consts::ARCH));
    command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags(root)?);
    let status = command.status().context("cargo could not be run")?;
    if !status.success() {
        bail!("the programs of the image could not be built");
    }
    let built = target.join(&triple).join(PROFILE);
    let paths = found.iter().map(|(name, _)| (name.clone(), built.join(name))).collect();
    let mut packages: Vec<String> = found.into_iter().map(|(_, package)| package).collect();
    packages.dedup();
    Ok(Programs { paths, packages, metadata })
}

/// The largest page that Linux has on `processor`, as a power of two.
fn page_size(processor: &str) -> &'static str {
    if processor == "x86_64" { "12" } else { "16" }
}

/// Separated as cargo wants it, for a path may hold spaces.
fn flags(root: &Path) -> anyhow::Result<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let root = root.canonicalize().with_context(|| root.display().to_string())?;
    let flags = [
        "-Ctarget-feature=+crt-static".to_owned(),
        // The C library is part of the file, but the file is at no fixed address.
        "-Crelocation-model=pic".to_owned(),
        format!("--remap-path-prefix={}=/cargo", home.display()),
        format!("--remap-path-prefix={}=/scaleset", root.display()),
    ];
    Ok(flags.join("\u{1f}"))
}

/// What the programs are compiled for: what was asked for, or what this machine is. Nothing but Linux runs in a container, and the
/// image says of itself that it is for this machine's processor, as a container engine here expects.
fn built_for(host: &str, asked: Option<&str>, processor: &str) -> anyhow::Result<String> {
    let triple = asked.unwrap_or(host);
    let mut parts = triple.split('-');
    if parts.next() == Some(processor) && parts.any(|part| part == "linux") {
        return Ok(triple.to_owned());
    }
    bail!(
        "the image holds programs for Linux on {processor}, and this would compile for {triple}: run it on Linux, in a virtual \
         machine or a container, or name a target that this machine can link with {TARGET}, such as {processor}-unknown-linux-musl \
         with a C compiler for it"
    )
}

fn host_triple() -> anyhow::Result<String> {
    let output = std::process::Command::new("rustc").arg("-vV").output().context("rustc could not be run")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

fn metadata(root: &Path, triple: &str) -> anyhow::Result<Value> {
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", triple];
    let output = cargo().current_dir(root).args(arguments).args(FEATURES).output().context("cargo could not be run")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}

/// The programs and the package of each, in the order of [`NAMES`].
fn owners(metadata: &Value) -> Vec<(String, String)> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |package: &Value, name: &str| {
        let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        targets.iter().any(|target| target["name"] == name && target["kind"][0] == "bin")
    };
    let owner = |name: &&str| {
        let package = packages.iter().find(|package| has(package, name))?;
        Some(((*name).to_owned(), package["name"].as_str()?.to_owned()))
    };
    NAMES.iter().filter_map(owner).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{built_for, owners};

    #[test]
    fn programs_of_the_image_are_for_linux_or_nothing_is_compiled() {
        for (host, asked, processor, built) in [
            ("x86_64-unknown-linux-gnu", None, "x86_64", "x86_64-unknown-linux-gnu"),
            ("aarch64-apple-darwin", Some("aarch64-unknown-linux-musl"), "aarch64", "aarch64-unknown-linux-musl"),
        ] {
            assert_eq!(built_for(host, asked, processor).unwrap(), built);
        }
        for (host, asked, processor, told) in [
            ("aarch64-apple-darwin", None, "aarch64", "this would compile for aarch64-apple-darwin: run it on Linux"),
            ("x86_64-pc-windows-msvc", None, "x86_64", "with CARGO_BUILD_TARGET, such as x86_64-unknown-linux-musl"),
            // The image would say that it is for another processor than its programs.
            ("aarch64-apple-darwin", Some("x86_64-unknown-linux-musl"), "aarch64", "for Linux on aarch64"),
            ("x86_64-unknown-linux-gnu", Some("wasm32-unknown-unknown"), "x86_64", "wasm32-unknown-unknown"),
        ] {
            let refused = built_for(host, asked, processor).unwrap_err().to_string();
            assert!(refused.contains(told), "{told:?} is not in: {refused}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_yet_is_left_out() {
        let metadata = json!({"packages": [
            {"name": "scaleset-plugin", "targets": [{"name": "kubectl-scaleset", "kind": ["bin"]}]},
            {"name": "scaleset-controller", "targets": [
                {"name": "scaleset_controller", "kind": ["lib"]},
                {"name": "scaleset-controller", "kind": ["bin"]},
            ]},
        ]});
        assert_eq!(owners(&metadata), [("scaleset-controller".to_owned(), "scaleset-controller".to_owned())]);
    }
}
