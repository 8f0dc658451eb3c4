//! The store: one redb file with the state of the world and the journal.
//!
//! Calls hand over what they changed while they hold the world's lock, so batches arrive in the order in which calls
//! took effect; one writer thread commits all that has arrived as one transaction and flushes it to disk; a call
//! returns once the transaction that holds its journal entry is committed. What has been returned is therefore durable
//! at any moment at which the process may be killed, and many calls in flight share one flush.
//!
//! A store knows the number of its format. One of another format, newer or older, is refused before a byte of it is
//! changed.

mod error;
mod overlay;
mod read;
mod write;

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, TableDefinition};
use tokio::sync::watch;

use crate::error::HardwareError;
use crate::sim::clock::Anchor;
use crate::sim::journal::JournalEntry;
use crate::sim::world::Stored;

pub use error::StoreError;
pub(crate) use read::JournalPage;
pub(crate) use write::Write;

/// Format of what this version writes. 2: machines with what their health source hears. 4: reservations, whose slots an
/// older version would give away. 5: maintenance, drains, loads and calls that an older version cannot read.
pub(crate) const FORMAT: u64 = 5;
/// Oldest format that this version reads: what has come since is absent there.
pub(crate) const OLDEST_FORMAT: u64 = 3;
/// Memory for redb's page cache: the store is written far more than it is read.
const CACHE_BYTES: usize = 512 * 1024;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const MACHINES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("machines");
const MODELS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("models");
const INSTANCE_NUMBERS: TableDefinition<'_, &str, i64> = TableDefinition::new("instance_numbers");
const RESERVATION_GROUPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("reservation_groups");
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");

/// The row of [`META`] that holds the format.
const FORMAT_KEY: &str = "format";
/// The row of [`STATE`] that holds the clock's anchor.
const ANCHOR_KEY: &str = "clock";

/// The store of a running simulation.
#[derive(Debug)]
pub(crate) struct Store {
    database: Arc<Database>,
    commits: Commits,
    progress: watch::Receiver<Progress>,
}

/// How batches come into the database.
#[derive(Debug)]
enum Commits {
    /// By a thread, in groups.
    Thread { batches: Option<mpsc::Sender<Batch>>, thread: Option<JoinHandle<()>> },
    /// At once, in the memory of this process.
    Inline(watch::Sender<Progress>),
}

/// What one call changed.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) writes: Vec<Write>,
    /// Number of the last journalled call.
    pub(crate) sequence: u64,
}

/// How far the commits have come.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Number of the last call that is committed.
    sequence: u64,
    /// Why nothing more will be committed.
    failure: Option<Arc<str>>,
}

impl Store {
    /// Opens or makes the store in a file, and reads what is in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Stored), StoreError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).map_err(|source| StoreError::io(path, source))?;
        }
        overlay::check_format(path)?;
        let mut builder = Database::builder();
        let database =
            builder.set_cache_size(CACHE_BYTES).create(path).map_err(|source| StoreError::open(path, source))?;
        let stored = read::prepare(&database).map_err(|source| StoreError::unusable(path, source))?;
        let database = Arc::new(database);
        let (progress, received) = watch::channel(Progress { sequence: stored.sequence, failure: None });
        let (batches, queue) = mpsc::channel();
        let writer = Arc::clone(&database);
        let thread = std::thread::Builder::new()
            .name("hardware-store".to_owned())
            .spawn(move || write::run(&writer, &queue, &progress))
            .map_err(|source| StoreError::io(path, source))?;
        let commits = Commits::Thread { batches: Some(batches), thread: Some(thread) };
        Ok((Self { database, commits, progress: received }, stored))
    }

    /// A store that lives as long as this process.
    pub(crate) fn in_memory() -> (Self, Stored) {
        let mut builder = Database::builder();
        let database = builder
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(InMemoryBackend::new())
            .expect("memory can hold an empty database");
        let stored = read::prepare(&database).expect("an empty database can be prepared");
        let (progress, received) = watch::channel(Progress::default());
        let store = Self { database: Arc::new(database), commits: Commits::Inline(progress), progress: received };
        (store, stored)
    }

    /// Hands a batch over. The caller holds the world's lock, so that batches keep their order.
    pub(crate) fn enqueue(&self, batch: Batch) {
        match &self.commits {
            // A thread that is gone has left the reason in `progress`, where every waiting call finds it.
            Commits::Thread { batches, thread: _ } => drop(batches.as_ref().map(|batches| batches.send(batch))),
            Commits::Inline(progress) => write::commit(&self.database, &[batch], progress, redb::Durability::None),
        }
    }

    /// Refuses everything once the store could not be written: what is in memory is not durable any more.
    pub(crate) fn check(&self) -> Result<(), HardwareError> {
        match &self.progress.borrow().failure {
            Some(failure) => Err(broken(failure)),
            None => Ok(()),
        }
    }

    /// Waits until the call with this number is durable.
    pub(crate) async fn committed(&self, sequence: u64) -> Result<(), HardwareError> {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|progress| progress.sequence >= sequence || progress.failure.is_some()).await;
        let failure = match reached {
            Ok(progress) if progress.sequence >= sequence => return Ok(()),
            Ok(progress) => progress.failure.as_deref().unwrap_or_default().to_owned(),
            Err(_) => "the writer thread has ended".to_owned(),
        };
        Err(broken(&failure))
    }

    /// Keeps where the scenario clock stands.
    pub(crate) fn save_anchor(&self, anchor: &Anchor, sequence: u64) {
        self.enqueue(Batch { writes: vec![Write::state(ANCHOR_KEY, anchor)], sequence });
    }

    /// Entries of the journal after a number.
    pub(crate) fn journal(&self, after: u64, limit: usize, uid: Option<&str>) -> Result<JournalPage, StoreError> {
        let transaction = self.database.begin_read().map_err(|error| journal_error(Box::new(error.into())))?;
        read::journal(&transaction, after, limit, uid).map_err(journal_error)
    }

    /// Every entry of the journal, one page at a time.
    pub(crate) fn journal_entries(&self) -> Result<Vec<JournalEntry>, StoreError> {
        let mut entries = Vec::new();
        loop {
            let after = entries.last().map_or(0, |entry: &JournalEntry| entry.sequence);
            let page = self.journal(after, read::LONGEST_PAGE, None)?;
            let done = page.entries.is_empty();
            entries.extend(page.entries);
            if done {
                return Ok(entries);
            }
        }
    }
}

fn journal_error(source: Box<redb::Error>) -> StoreError {
    StoreError::Journal { source }
}

fn broken(failure: &str) -> HardwareError {
    HardwareError::Transient { message: format!("the store cannot be written: {failure}") }
}

impl Drop for Store {
    /// Waits until everything that was handed over is committed, so that the file can be opened again at once.
    fn drop(&mut self) {
        let Commits::Thread { batches, thread } = &mut self.commits else {
            return;
        };
        drop(batches.take());
        if let Some(Err(_)) = thread.take().map(JoinHandle::join) {
            tracing::error!("the store's writer thread has panicked");
        }
    }
}
