//! Archives that hold nothing of when, where and by whom they were made.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::error::{ControlPlaneError, file};
use crate::image::{ImageFile, sha256};

const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// The only layer of an image.
pub(crate) struct Layer {
    pub(crate) compressed: Vec<u8>,
    /// Digest of the archive before it was compressed.
    pub(crate) plain_digest: String,
}

/// Packs the files and the directories above them.
pub(crate) fn pack(files: &[ImageFile], modified_seconds: u32) -> Result<Layer, ControlPlaneError> {
    let mut plain = Builder::new(Vec::new());
    let mut made = BTreeSet::new();
    for ImageFile { path, source, mode } in files.iter().collect::<BTreeSet<_>>() {
        let inside = Path::new(path);
        let above = inside.ancestors().skip(1).filter(|above| *above != Path::new(""));
        for directory in above.collect::<Vec<_>>().into_iter().rev() {
            if made.insert(directory.to_owned()) {
                append_directory(&mut plain, directory, modified_seconds).map_err(file(source))?;
            }
        }
        append_file(&mut plain, inside, source, *mode, modified_seconds).map_err(file(source))?;
    }
    let in_memory = file("a layer in memory");
    let (plain_digest, compressed) = plain
        .into_inner()
        .and_then(|plain| compress(&plain).map(|compressed| (format!("sha256:{}", sha256(&plain)), compressed)))
        .map_err(in_memory)?;
    Ok(Layer { compressed, plain_digest })
}

/// Without a name and a time in the header, so that equal layers compress to equal bytes.
fn compress(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Archives everything below `directory`.
pub(crate) fn archive(directory: &Path, to: &Path, modified_seconds: u32) -> Result<(), ControlPlaneError> {
    let mut archive = Builder::new(File::create(to).map_err(file(to))?);
    let mut left = vec![directory.to_owned()];
    let mut found = BTreeSet::new();
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).map_err(file(&next))? {
            let path = entry.map_err(file(&next))?.path();
            if path.is_dir() {
                left.push(path.clone());
            }
            found.insert(path);
        }
    }
    for path in found {
        let inside: PathBuf = path.strip_prefix(directory).expect("it was found below").to_owned();
        let appended = if path.is_dir() {
            append_directory(&mut archive, &inside, modified_seconds)
        } else {
            append_file(&mut archive, &inside, &path, FILE_MODE, modified_seconds)
        };
        appended.map_err(file(&path))?;
    }
    archive.finish().map_err(file(to))
}

fn append_directory<W: Write>(to: &mut Builder<W>, path: &Path, modified_seconds: u32) -> io::Result<()> {
    let mut header = header(EntryType::Directory, 0, DIRECTORY_MODE, modified_seconds);
    to.append_data(&mut header, format!("{}/", path.display()), io::empty())
}

fn append_file<W: Write>(
    to: &mut Builder<W>,
    path: &Path,
    source: &Path,
    mode: u32,
    modified_seconds: u32,
) -> io::Result<()> {
    let content = File::open(source)?;
    let bytes = content.metadata()?.len();
    let mut header = header(EntryType::Regular, bytes, mode, modified_seconds);
    to.append_data(&mut header, path, content)
}

fn header(kind: EntryType, bytes: u64, mode: u32, modified_seconds: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(bytes);
    header.set_mode(mode);
    header.set_mtime(u64::from(modified_seconds));
    header.set_uid(0);
    header.set_gid(0);
    header
}
