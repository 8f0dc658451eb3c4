//! `make image`: our programs as static binaries in an image from scratch, written without any daemon.

mod bill_of_materials;
mod programs;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use scaleset_control_plane::{Image, ImageFile, WrittenImage, workspace_root};

use crate::image::programs::Programs;
use crate::say::say;

/// Nobody on any machine; the chart names the same number.
const USER: &str = "65532:65532";
const REPOSITORY: &str = "scaleset-controller";
const ENTRYPOINT: &str = "scaleset-controller";
const BILL_OF_MATERIALS: &str = "bill-of-materials.cdx.json";
/// Where scanners look for it in the image.
const BILL_OF_MATERIALS_INSIDE: &str = "usr/share/bill-of-materials/scaleset.cdx.json";

/// An image that was made.
pub(crate) struct Made {
    /// Name and tag.
    pub(crate) name: String,
    /// What `ctr images import`, `docker load` and `kind load image-archive` take.
    pub(crate) archive: PathBuf,
    pub(crate) written: WrittenImage,
}

/// Where `make image` puts it.
pub(crate) fn default_directory() -> PathBuf {
    programs::target_directory().join("scaleset-image")
}

/// Builds the programs of this checkout and packs them into `directory`, in place of what was there.
pub(crate) fn make(directory: &Path) -> anyhow::Result<Made> {
    let root = workspace_root();
    make_from(&root, &programs::target_directory(), directory)
}

/// The same for the checkout at `root`, whose programs are compiled in `target`.
fn make_from(root: &Path, target: &Path, directory: &Path) -> anyhow::Result<Made> {
    let programs = programs::build(root, target)?;
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let created_seconds = created_seconds(root)?;
    let bill = directory.join(BILL_OF_MATERIALS);
    let text = bill_of_materials::text(root, &programs)?;
    fs::write(&bill, text).with_context(|| bill.display().to_string())?;
    let version = env!("CARGO_PKG_VERSION");
    let image = Image {
        name: format!("{REPOSITORY}:{version}"),
        files: files(&programs, bill),
        entrypoint: vec![format!("/{ENTRYPOINT}")],
        user: USER.to_owned(),
        labels: labels(root, version),
        created_seconds,
    };
    let archive = directory.join("image.tar");
    let written = image.write(&directory.join("layout"), &archive)?;
    Ok(Made { name: image.name, archive, written })
}

/// Tells what was made.
pub(crate) fn tell(made: &Made) {
    let Made { name, archive, written: WrittenImage { digest, bytes } } = made;
    say(format_args!("{name} {digest} {bytes} bytes"));
    say(format_args!("archive: {}", archive.display()));
}

/// Compiles this checkout in two folders and compares: what differs depends on where it was built.
pub(crate) fn reproduce() -> anyhow::Result<()> {
    let scratch = programs::target_directory().join("reproduce");
    // Somebody may commit while the first compiles.
    let commit = git(&workspace_root(), &["rev-parse", "HEAD"]).context("git knows no commit here")?;
    let mut digests = Vec::new();
    for name in ["one", "another-place"] {
        let place = scratch.join(name);
        let root = place.join("checkout");
        copy_checkout(&commit, &root)?;
        let made = make_from(&root, &place.join("target"), &place.join("image"))?;
        say(format_args!("{}: {}", place.display(), made.written.digest));
        digests.push(made.written.digest);
    }
    if digests[0] != digests[1] {
        bail!("the same sources gave two images, compare the programs below {}", scratch.display());
    }
    fs::remove_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
    say("two compilations in two folders gave one image");
    Ok(())
}

/// What Git knows of a commit, elsewhere.
fn copy_checkout(commit: &str, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| to.display().to_string())?;
    }
    let (from, to) = (workspace_root().display().to_string(), to.display().to_string());
    for arguments in [
        vec!["clone", "--quiet", "--no-checkout", &from, &to],
        vec!["-C", &to, "checkout", "--quiet", "--detach", commit],
    ] {
        let status = Command::new("git").args(&arguments).status().context("git could not be run")?;
        if !status.success() {
            bail!("git {} failed", arguments.join(" "));
        }
    }
    Ok(())
}

fn files(programs: &Programs, bill: PathBuf) -> Vec<ImageFile> {
    let program =
        |(name, source): (&String, &PathBuf)| ImageFile { path: name.clone(), source: source.clone(), mode: 0o755 };
    let mut files: Vec<ImageFile> = programs.paths.iter().map(program).collect();
    files.push(ImageFile { path: BILL_OF_MATERIALS_INSIDE.to_owned(), source: bill, mode: 0o644 });
    files
}

/// The keys that "Annotations" of the OCI image specification defines.
fn labels(root: &Path, version: &str) -> BTreeMap<String, String> {
    let mut labels = vec![
        ("title", "scaleset-controller".to_owned()),
        ("description", "Virtual machine scale sets for Kubernetes".to_owned()),
        ("licenses", "Apache-2.0".to_owned()),
        ("version", version.to_owned()),
    ];
    labels.extend(git(root, &["rev-parse", "HEAD"]).map(|revision| ("revision", revision)));
    labels.into_iter().map(|(key, value)| (format!("org.opencontainers.image.{key}"), value)).collect()
}

/// `SOURCE_DATE_EPOCH`, or the time of the last commit; 0 where there is neither.
fn created_seconds(root: &Path) -> anyhow::Result<u32> {
    let asked = std::env::var("SOURCE_DATE_EPOCH").ok();
    let text = asked.or_else(|| git(root, &["log", "-1", "--format=%ct"])).unwrap_or_else(|| "0".to_owned());
    text.parse().with_context(|| format!("SOURCE_DATE_EPOCH={text} must be seconds since 1970"))
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
