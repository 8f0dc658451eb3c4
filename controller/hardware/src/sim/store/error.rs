//! Why a store cannot be used, in one line that names it and the mend.

use std::path::{Path, PathBuf};

use redb::DatabaseError;
use thiserror::Error;

/// Why a store cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("hardware store {} is locked: another process has it open; stop that process, or name another file", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote it. Nothing in it was changed.
    #[error("hardware store {} has format {found}, this version knows {known}: it was left untouched; use the newer version, or name another file", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The only format that is known.
        known: u64,
    },
    /// An older version wrote it. Nothing in it was changed.
    #[error("hardware store {} has format {found}, this version knows {known}: it was left untouched; use the older version, or remove the file to begin with an empty region", path.display())]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The only format that is known.
        known: u64,
    },
    /// It is something else, or broken.
    #[error("{} is no usable hardware store: {source}; name another file, or remove this one", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The file system refuses.
    #[error("hardware store {} cannot be opened: {source}; name a file that can be written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The journal cannot be read.
    #[error("the journal cannot be read: {source}")]
    Journal {
        /// Why.
        source: Box<redb::Error>,
    },
}

impl StoreError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn unusable(path: &Path, source: Box<redb::Error>) -> Self {
        Self::Unusable { path: path.to_owned(), source }
    }

    pub(super) fn open(path: &Path, source: DatabaseError) -> Self {
        match source {
            DatabaseError::DatabaseAlreadyOpen => Self::Locked { path: path.to_owned() },
            DatabaseError::Storage(redb::StorageError::Io(source))
                if source.kind() != std::io::ErrorKind::InvalidData =>
            {
                Self::io(path, source)
            }
            // The library's enum may grow: whatever else it says, the file is of no use.
            other @ (DatabaseError::Storage(_) | _) => Self::unusable(path, Box::new(other.into())),
        }
    }
}
