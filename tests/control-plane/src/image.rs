//! Container images, written without any daemon: an OCI layout, and an archive of it that `ctr images import`,
//! `docker load` and `kind load image-archive` take.
//!
//! The same files give the same bytes: entries are sorted, owned by root, and as old as the image says; nothing of the
//! machine gets in. The formats are those of "Image Layout Specification" and "Image Manifest Specification" of the Open
//! Container Initiative, and the `manifest.json` of `docker save`.

mod layer;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{ControlPlaneError, file};
use crate::image::layer::Layer;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// A file of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageFile {
    /// Where it is in the image, without the leading slash.
    pub path: String,
    /// Where it is now.
    pub source: PathBuf,
    /// Its permissions, for example `0o755`.
    pub mode: u32,
}

/// What an image is made of: one layer on nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Name and tag, for example `localhost/pause:1`.
    pub name: String,
    /// Its files.
    pub files: Vec<ImageFile>,
    /// What is run.
    pub entrypoint: Vec<String>,
    /// As whom: user and group by number.
    pub user: String,
    /// Labels of its configuration.
    pub labels: BTreeMap<String, String>,
    /// When it and its files were made, in seconds since 1970.
    pub created_seconds: u32,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenImage {
    /// Digest of the manifest: whoever pulls the image by it gets these bytes.
    pub digest: String,
    /// What a registry would hold: manifest, configuration and compressed layer.
    pub bytes: usize,
}

impl Image {
    /// Writes the OCI layout into `directory`, which must not hold another one, and the archive of it to `archive`.
    pub fn write(&self, directory: &Path, archive: &Path) -> Result<WrittenImage, ControlPlaneError> {
        let Self { name, files, entrypoint, user, labels, created_seconds } = self;
        let Layer { compressed, plain_digest } = layer::pack(files, *created_seconds)?;
        let blobs = directory.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(file(&blobs))?;
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "created": timestamp(*created_seconds),
            "config": {"Entrypoint": entrypoint, "User": user, "Labels": labels, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [plain_digest]},
        });
        let layer = blob(&blobs, LAYER_TYPE, &compressed)?;
        let config = blob(&blobs, CONFIG_TYPE, config.to_string().as_bytes())?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor,
            "layers": [layer.descriptor],
            "annotations": labels,
        });
        let mut manifest = blob(&blobs, MANIFEST_TYPE, manifest.to_string().as_bytes())?;
        let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        manifest.descriptor["annotations"] =
            json!({"io.containerd.image.name": full_name(name), "org.opencontainers.image.ref.name": tag});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [manifest.descriptor]});
        let docker = json!([{"Config": config.path, "RepoTags": [name], "Layers": [layer.path]}]);
        for (path, value) in
            [("oci-layout", json!({"imageLayoutVersion": "1.0.0"})), ("index.json", index), ("manifest.json", docker)]
        {
            let path = directory.join(path);
            fs::write(&path, value.to_string()).map_err(file(&path))?;
        }
        layer::archive(directory, archive, *created_seconds)?;
        Ok(WrittenImage { digest: manifest.digest, bytes: layer.bytes + config.bytes + manifest.bytes })
    }
}

/// A blob that was written, and how others name it.
struct Blob {
    descriptor: Value,
    digest: String,
    /// From the layout's root.
    path: String,
    bytes: usize,
}

fn blob(directory: &Path, media_type: &str, content: &[u8]) -> Result<Blob, ControlPlaneError> {
    let hex = sha256(content);
    let path = directory.join(&hex);
    fs::write(&path, content).map_err(file(&path))?;
    let (digest, bytes) = (format!("sha256:{hex}"), content.len());
    let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes});
    Ok(Blob { descriptor, digest, path: format!("blobs/sha256/{hex}"), bytes })
}

/// The digest of some bytes, in hexadecimal digits.
pub(crate) fn sha256(content: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(content) {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
    }
    hex
}

/// This machine's, as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The name with the registry that it means where it names none.
fn full_name(name: &str) -> String {
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    match (first, rest) {
        ("", _) => format!("docker.io/library/{name}"),
        (host, _) if host == "localhost" || host.contains(['.', ':']) => name.to_owned(),
        _ => format!("docker.io/{name}"),
    }
}

/// Seconds since 1970 as `2026-11-28T00:00:00Z`, by the calendar of days that repeats every 400 years.
fn timestamp(seconds: u32) -> String {
    let (days, rest) = (i64::from(seconds) / 86_400, i64::from(seconds) % 86_400);
    // Counted from the first of March of the year 0, a leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest % 3_600 / 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(directory: &Path) -> Image {
        let program = directory.join("program");
        fs::write(&program, "a program").unwrap();
        let files = ["usr/bin/one", "two"].map(|path| ImageFile {
            path: path.to_owned(),
            source: program.clone(),
            mode: 0o755,
        });
        Image {
            name: "localhost/example:1".to_owned(),
            files: files.to_vec(),
            entrypoint: vec!["/two".to_owned()],
            user: "65532:65532".to_owned(),
            labels: BTreeMap::from([("org.opencontainers.image.title".to_owned(), "example".to_owned())]),
            created_seconds: 1_700_000_000,
        }
    }

    #[test]
    fn seconds_are_told_as_dates() {
        for (seconds, told) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(seconds), told);
        }
    }

    #[test]
    fn a_name_means_the_same_registry_as_everywhere() {
        assert_eq!(full_name("localhost/pause:1"), "localhost/pause:1");
        assert_eq!(full_name("scaleset-controller:1"), "docker.io/library/scaleset-controller:1");
        assert_eq!(full_name("somebody/scaleset:1"), "docker.io/somebody/scaleset:1");
        assert_eq!(full_name("example.org:5000/scaleset:1"), "example.org:5000/scaleset:1");
    }

    #[test]
    fn two_packings_of_the_same_files_are_one_image_whatever_order_and_age_they_have() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = image(one.path());
        let mut second = image(two.path());
        second.files.reverse();
        let write = |image: &Image, directory: &Path| {
            image.write(&directory.join("layout"), &directory.join("archive.tar")).unwrap()
        };
        assert_eq!(write(&first, one.path()), write(&second, two.path()));
        let archive = |directory: &Path| fs::read(directory.join("archive.tar")).unwrap();
        assert_eq!(archive(one.path()), archive(two.path()));
        second.created_seconds += 1;
        assert_ne!(write(&first, one.path()).digest, write(&second, two.path()).digest);
    }

    #[test]
    fn every_blob_has_the_name_of_its_digest_and_is_reached_from_the_index() {
        let directory = tempfile::tempdir().unwrap();
        let layout = directory.path().join("layout");
        let written = image(directory.path()).write(&layout, &directory.path().join("archive.tar")).unwrap();
        let read = |digest: &Value| {
            let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
            let content = fs::read(layout.join("blobs/sha256").join(&hex)).unwrap();
            assert_eq!(sha256(&content), hex);
            content
        };
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], written.digest);
        let manifest: Value = serde_json::from_slice(&read(&index["manifests"][0]["digest"])).unwrap();
        let config: Value = serde_json::from_slice(&read(&manifest["config"]["digest"])).unwrap();
        assert_eq!(config["config"]["User"], "65532:65532");
        let mut plain = Vec::new();
        let layer = read(&manifest["layers"][0]["digest"]);
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(layer.as_slice()), &mut plain).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&plain)));
        let mut tar = tar::Archive::new(plain.as_slice());
        let paths: Vec<String> =
            tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(paths, ["two", "usr/", "usr/bin/", "usr/bin/one"]);
    }
}
