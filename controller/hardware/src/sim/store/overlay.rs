//! Looking at a store without changing a byte of it.
//!
//! A store that was left behind by a killed process needs a repair before it can be read, and repairing writes. So it is
//! opened through a backend that keeps every write in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{Database, DatabaseError, ReadableDatabase, StorageBackend, TableError};

use super::{CACHE_BYTES, FORMAT, FORMAT_KEY, META, OLDEST_FORMAT, StoreError};

/// Bytes that are kept together once one of them is written.
const BLOCK_BYTES: u64 = 4_096;

/// Refuses a store of another format, and one that is locked or no store.
pub(super) fn check_format(path: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StoreError::io(path, source)),
    }
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let format = match builder.open_read_only(path) {
        Ok(database) => format_of(&database),
        Err(DatabaseError::RepairAborted) => {
            let file = File::open(path).map_err(|source| StoreError::io(path, source))?;
            let overlay = Overlay::new(file).map_err(|source| StoreError::io(path, source))?;
            let repaired = builder.create_with_backend(overlay).map_err(|source| StoreError::open(path, source))?;
            format_of(&repaired)
        }
        Err(source) => return Err(StoreError::open(path, source)),
    };
    match format.map_err(|source| StoreError::unusable(path, source))? {
        Some(found) if found > FORMAT => Err(StoreError::NewerFormat { path: path.to_owned(), found, known: FORMAT }),
        Some(found) if found < OLDEST_FORMAT => {
            Err(StoreError::OlderFormat { path: path.to_owned(), found, known: FORMAT })
        }
        Some(_) | None => Ok(()),
    }
}

/// The format of a store; `None` when it was left behind before it had one.
fn format_of(database: &impl ReadableDatabase) -> Result<Option<u64>, Box<redb::Error>> {
    let transaction = database.begin_read().map_err(redb::Error::from)?;
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(Box::new(error.into())),
    };
    let row = table.get(FORMAT_KEY).map_err(redb::Error::from)?;
    Ok(row.map(|format| format.value()))
}

/// A file below, and everything that was written in memory above it.
#[derive(Debug)]
struct Overlay {
    file: File,
    above: Mutex<Above>,
}

#[derive(Debug)]
struct Above {
    length: u64,
    /// Bytes of the file that count: what was cut off stays cut off.
    file_length: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, above: Mutex::new(Above { length, file_length: length, blocks: BTreeMap::new() }) })
    }

    fn above(&self) -> MutexGuard<'_, Above> {
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as the file has it, zeroes behind its end.
    fn block(&self, number: u64, file_length: u64) -> io::Result<Vec<u8>> {
        let mut block = vec![0; in_memory(BLOCK_BYTES)];
        let start = number * BLOCK_BYTES;
        let present = in_memory(file_length.saturating_sub(start).min(BLOCK_BYTES));
        self.file.read_exact_at(&mut block[..present], start)?;
        Ok(block)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let above = self.above();
        let mut done = 0;
        while done < out.len() {
            let (number, within, take) = step(offset, done, out.len());
            let target = &mut out[done..done + take];
            match above.blocks.get(&number) {
                Some(block) => target.copy_from_slice(&block[within..within + take]),
                None => target.copy_from_slice(&self.block(number, above.file_length)?[within..within + take]),
            }
            done += take;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut above = self.above();
        above.length = length;
        above.file_length = above.file_length.min(length);
        above.blocks.retain(|number, _| number * BLOCK_BYTES < length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut above = self.above();
        let mut done = 0;
        while done < data.len() {
            let (number, within, take) = step(offset, done, data.len());
            if !above.blocks.contains_key(&number) {
                let block = self.block(number, above.file_length)?;
                above.blocks.insert(number, block);
            }
            if let Some(block) = above.blocks.get_mut(&number) {
                block[within..within + take].copy_from_slice(&data[done..done + take]);
            }
            done += take;
        }
        Ok(())
    }
}

/// The block that byte `done` of a transfer at `offset` is in, where in it, and how many bytes of it are meant.
fn step(offset: u64, done: usize, length: usize) -> (u64, usize, usize) {
    let position = offset + done as u64;
    let within = in_memory(position % BLOCK_BYTES);
    (position / BLOCK_BYTES, within, (in_memory(BLOCK_BYTES) - within).min(length - done))
}

fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a block fits into memory")
}
