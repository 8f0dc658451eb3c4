//! What is wrong with a region file, in one line.

use thiserror::Error;

/// What is wrong with a region file.
#[derive(Debug, Error)]
pub enum RegionFileError {
    /// It cannot be read.
    #[error("region file {file} cannot be read: {source}; name a readable file")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not YAML of the shape that is asked for.
    #[error("region file {file}, line {line}, column {column}, {field}: {message}; docs/hardware.md lists the fields")]
    Malformed {
        /// The file.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// Path of the field, or `the file` where none is reached.
        field: String,
        /// What is wrong there.
        message: String,
    },
    /// A value makes no sense.
    #[error("region file {file}, {field}: {problem}; {mend}")]
    Invalid {
        /// The file.
        file: String,
        /// Path of the field.
        field: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        mend: String,
    },
}

/// A value that makes no sense, before the file's name is known.
pub(super) struct Problem {
    pub(super) field: String,
    pub(super) what: String,
    pub(super) mend: String,
}

impl Problem {
    pub(super) fn in_file(self, file: &str) -> RegionFileError {
        let Self { field, what: problem, mend } = self;
        RegionFileError::Invalid { file: file.to_owned(), field, problem, mend }
    }
}

impl RegionFileError {
    pub(super) fn malformed(file: &str, path: &str, error: &serde_saphyr::Error) -> Self {
        let (line, column) = error.location().map_or((1, 1), |location| (location.line(), location.column()));
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        // The place stands in front already.
        let message = first.split(" at line ").next().unwrap_or_default().trim_end_matches('.').to_owned();
        let field = if path.is_empty() || path == "." || path == "?" { "the file" } else { path };
        Self::Malformed { file: file.to_owned(), line, column, field: field.to_owned(), message }
    }
}
