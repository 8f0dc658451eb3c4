//! What is read: the whole state at the start, and pages of the journal.

use std::collections::BTreeMap;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    ANCHOR_KEY, FORMAT, FORMAT_KEY, INSTANCE_NUMBERS, JOURNAL, MACHINES, META, MODELS, RESERVATION_GROUPS, STATE,
};
use crate::sim::journal::JournalEntry;
use crate::sim::model::ModelKey;
use crate::sim::world::Stored;

/// Most entries in one page of the journal.
pub(crate) const LONGEST_PAGE: usize = 1_000;
/// Most entries that are looked at for one page.
const LONGEST_SCAN: usize = 100_000;

/// A page of the journal.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JournalPage {
    pub(crate) entries: Vec<JournalEntry>,
    /// What to ask for next; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_after: Option<u64>,
}

/// Makes what is missing and reads what is there.
pub(super) fn prepare(database: &Database) -> Result<Stored, Box<redb::Error>> {
    let transaction = database.begin_write().map_err(redb::Error::from)?;
    {
        let mut meta = transaction.open_table(META).map_err(redb::Error::from)?;
        meta.insert(FORMAT_KEY, FORMAT).map_err(redb::Error::from)?;
        transaction.open_table(MACHINES).map_err(redb::Error::from)?;
        transaction.open_table(MODELS).map_err(redb::Error::from)?;
        transaction.open_table(INSTANCE_NUMBERS).map_err(redb::Error::from)?;
        transaction.open_table(RESERVATION_GROUPS).map_err(redb::Error::from)?;
        transaction.open_table(STATE).map_err(redb::Error::from)?;
        transaction.open_table(JOURNAL).map_err(redb::Error::from)?;
    }
    transaction.commit().map_err(redb::Error::from)?;
    stored(&database.begin_read().map_err(redb::Error::from)?)
}

fn stored(transaction: &ReadTransaction) -> Result<Stored, Box<redb::Error>> {
    let mut machines = Vec::new();
    for row in transaction.open_table(MACHINES).map_err(redb::Error::from)?.iter().map_err(redb::Error::from)? {
        machines.push(decoded(row.map_err(redb::Error::from)?.1.value())?);
    }
    let mut groups = Vec::new();
    let rows = transaction.open_table(RESERVATION_GROUPS).map_err(redb::Error::from)?;
    for row in rows.iter().map_err(redb::Error::from)? {
        groups.push(decoded(row.map_err(redb::Error::from)?.1.value())?);
    }
    let mut models = BTreeMap::new();
    for row in transaction.open_table(MODELS).map_err(redb::Error::from)?.iter().map_err(redb::Error::from)? {
        let (key, bytes) = row.map_err(redb::Error::from)?;
        models.insert(ModelKey(key.value()), decoded(bytes.value())?);
    }
    let mut instance_numbers = BTreeMap::new();
    for row in transaction.open_table(INSTANCE_NUMBERS).map_err(redb::Error::from)?.iter().map_err(redb::Error::from)? {
        let (uid, number) = row.map_err(redb::Error::from)?;
        instance_numbers.insert(uid.value().to_owned(), number.value());
    }
    let last = last_entry(transaction)?;
    Ok(Stored {
        machines,
        groups,
        models,
        instance_numbers,
        faults: state(transaction, "faults")?.unwrap_or_default(),
        outages: state(transaction, "outages")?.unwrap_or_default(),
        host_changes: state(transaction, "hostChanges")?.unwrap_or_default(),
        published: state(transaction, "published")?.unwrap_or_default(),
        spot_prices: state(transaction, "spotPrices")?.unwrap_or_default(),
        spot_pressures: state(transaction, "spotPressures")?.unwrap_or_default(),
        promises: state(transaction, "promises")?.unwrap_or_default(),
        calls: state(transaction, "calls")?.unwrap_or_default(),
        anchor: state(transaction, ANCHOR_KEY)?,
        epoch: state(transaction, "epoch")?.unwrap_or_default(),
        sequence: last.as_ref().map_or(0, |entry| entry.sequence),
        latest: last.map(|entry| entry.scenario_time),
    })
}

/// Entries after a number, of one machine or of all.
pub(super) fn journal(
    transaction: &ReadTransaction,
    after: u64,
    limit: usize,
    uid: Option<&str>,
) -> Result<JournalPage, Box<redb::Error>> {
    let table = transaction.open_table(JOURNAL).map_err(redb::Error::from)?;
    let mut page = JournalPage { entries: Vec::new(), next_after: None };
    let rows = table.range(after.saturating_add(1)..).map_err(redb::Error::from)?;
    for (scanned, row) in rows.enumerate() {
        let (number, bytes) = row.map_err(redb::Error::from)?;
        if page.entries.len() == limit.min(LONGEST_PAGE) || scanned == LONGEST_SCAN {
            page.next_after = Some(number.value() - 1);
            return Ok(page);
        }
        let entry: JournalEntry = decoded(bytes.value())?;
        if uid.is_none_or(|uid| uid == entry.uid) {
            page.entries.push(entry);
        }
    }
    Ok(page)
}

fn last_entry(transaction: &ReadTransaction) -> Result<Option<JournalEntry>, Box<redb::Error>> {
    let table = transaction.open_table(JOURNAL).map_err(redb::Error::from)?;
    let last = table.last().map_err(redb::Error::from)?;
    last.map(|(_, bytes)| decoded(bytes.value())).transpose()
}

fn state<T: DeserializeOwned>(transaction: &ReadTransaction, key: &str) -> Result<Option<T>, Box<redb::Error>> {
    let definition: TableDefinition<'_, &str, &[u8]> = STATE;
    let table = transaction.open_table(definition).map_err(redb::Error::from)?;
    let row = table.get(key).map_err(redb::Error::from)?;
    row.map(|bytes| decoded(bytes.value())).transpose()
}

fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Box<redb::Error>> {
    serde_json::from_slice(bytes).map_err(|error| Box::new(redb::Error::Corrupted(error.to_string())))
}
