//! What is written, and the thread that commits it in groups.

use std::sync::{Arc, mpsc};

use redb::{Database, Durability, WriteTransaction};
use scaleset_crds::VirtualMachineModel;
use serde::Serialize;
use tokio::sync::watch;

use super::{Batch, INSTANCE_NUMBERS, JOURNAL, MACHINES, MODELS, Progress, RESERVATION_GROUPS, STATE};
use crate::sim::journal::JournalEntry;
use crate::sim::model::ModelKey;
use crate::sim::reservation::GroupRecord;
use crate::sim::vm::Record;

/// Most batches in one transaction.
const LARGEST_GROUP: usize = 1_024;

/// One change of the store.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Machine(String, Vec<u8>),
    RemoveMachine(String),
    ReservationGroup(String, Vec<u8>),
    RemoveReservationGroup(String),
    Model(ModelKey, Vec<u8>),
    RemoveModel(ModelKey),
    InstanceNumber(String, i64),
    /// A part of the world that is small and written as a whole.
    State(&'static str, Vec<u8>),
    Journal(Box<JournalEntry>),
}

impl Write {
    pub(crate) fn machine(record: &Record) -> Self {
        Self::Machine(record.uid.clone(), encoded(record))
    }

    pub(crate) fn reservation_group(group: &GroupRecord) -> Self {
        Self::ReservationGroup(group.uid.clone(), encoded(group))
    }

    pub(crate) fn model(key: ModelKey, model: &VirtualMachineModel) -> Self {
        Self::Model(key, encoded(model))
    }

    pub(crate) fn state(key: &'static str, value: &impl Serialize) -> Self {
        Self::State(key, encoded(value))
    }
}

/// Commits batches until nobody can send any more, or a commit fails.
pub(super) fn run(database: &Arc<Database>, queue: &mpsc::Receiver<Batch>, progress: &watch::Sender<Progress>) {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        group.extend(queue.try_iter().take(LARGEST_GROUP));
        commit(database, &group, progress, Durability::Immediate);
        if progress.borrow().failure.is_some() {
            return;
        }
    }
}

/// Commits batches as one transaction and says so, or why not.
pub(super) fn commit(
    database: &Database,
    batches: &[Batch],
    progress: &watch::Sender<Progress>,
    durability: Durability,
) {
    let sequence = batches.iter().map(|batch| batch.sequence).max().unwrap_or(0);
    match write_all(database, batches, durability) {
        Ok(()) => progress.send_modify(|progress| progress.sequence = progress.sequence.max(sequence)),
        Err(error) => {
            tracing::error!(%error, "the hardware store cannot be written");
            progress.send_modify(|progress| progress.failure = Some(error.to_string().into()));
        }
    }
}

fn write_all(database: &Database, batches: &[Batch], durability: Durability) -> Result<(), Box<redb::Error>> {
    let mut transaction = database.begin_write().map_err(redb::Error::from)?;
    transaction.set_durability(durability).map_err(redb::Error::from)?;
    apply(&transaction, batches)?;
    Ok(transaction.commit().map_err(redb::Error::from)?)
}

fn apply(transaction: &WriteTransaction, batches: &[Batch]) -> Result<(), Box<redb::Error>> {
    let mut machines = transaction.open_table(MACHINES).map_err(redb::Error::from)?;
    let mut models = transaction.open_table(MODELS).map_err(redb::Error::from)?;
    let mut numbers = transaction.open_table(INSTANCE_NUMBERS).map_err(redb::Error::from)?;
    let mut groups = transaction.open_table(RESERVATION_GROUPS).map_err(redb::Error::from)?;
    let mut state = transaction.open_table(STATE).map_err(redb::Error::from)?;
    let mut journal = transaction.open_table(JOURNAL).map_err(redb::Error::from)?;
    for write in batches.iter().flat_map(|batch| &batch.writes) {
        let outcome = match write {
            Write::Machine(uid, bytes) => machines.insert(uid.as_str(), bytes.as_slice()).map(drop),
            Write::RemoveMachine(uid) => machines.remove(uid.as_str()).map(drop),
            Write::ReservationGroup(uid, bytes) => groups.insert(uid.as_str(), bytes.as_slice()).map(drop),
            Write::RemoveReservationGroup(uid) => groups.remove(uid.as_str()).map(drop),
            Write::Model(key, bytes) => models.insert(key.0, bytes.as_slice()).map(drop),
            Write::RemoveModel(key) => models.remove(key.0).map(drop),
            Write::InstanceNumber(uid, number) => numbers.insert(uid.as_str(), number).map(drop),
            Write::State(key, bytes) => state.insert(*key, bytes.as_slice()).map(drop),
            Write::Journal(entry) => journal.insert(entry.sequence, encoded(entry).as_slice()).map(drop),
        };
        outcome.map_err(redb::Error::from)?;
    }
    Ok(())
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what is stored has string keys only")
}
