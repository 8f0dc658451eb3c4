//! A token that lies in a file and is replaced there while the process runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

/// A file is read again after this long; whoever replaces a token keeps the old one valid for longer.
const READ_EVERY: Duration = Duration::from_secs(5);

/// The file holds no token.
#[derive(Debug, Error)]
#[error("token file {}: {problem}", path.display())]
pub struct TokenError {
    path: PathBuf,
    problem: String,
}

/// A token in a file.
pub struct TokenFile {
    path: PathBuf,
    last: Mutex<(Instant, String)>,
}

/// Where it is, never what it is: this goes into logs.
impl fmt::Debug for TokenFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, last: _ } = self;
        write!(formatter, "TokenFile({})", path.display())
    }
}

impl TokenFile {
    /// Reads it for the first time.
    pub fn open(path: PathBuf) -> Result<Self, TokenError> {
        let token = read(&path).map_err(|problem| TokenError { path: path.clone(), problem })?;
        Ok(Self { path, last: Mutex::new((Instant::now(), token)) })
    }

    /// The token as it is now. A file that cannot be read any more leaves the last one.
    pub fn current(&self) -> String {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.elapsed() >= READ_EVERY {
            let token = read(&self.path).unwrap_or_else(|problem| {
                tracing::warn!(path = %self.path.display(), problem, "token cannot be read again");
                last.1.clone()
            });
            *last = (Instant::now(), token);
        }
        last.1.clone()
    }
}

fn read(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let token = text.trim();
    let fits = |character: char| character.is_ascii_graphic();
    match token {
        "" => Err("it is empty".to_owned()),
        token if token.chars().all(fits) => Ok(token.to_owned()),
        _ => Err("a token is one word of printable characters".to_owned()),
    }
}
