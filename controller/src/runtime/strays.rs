//! Finds machines that belong to no object: those whose object lost its finalizer by hand, or vanished with an etcd that
//! was restored from a backup. Nobody else would notice them, and they hold their quota for ever.
//!
//! Decided from the uids in the cache and from an inventory made after they were read: an object that goes meanwhile
//! has let its machine go before. Of namespaces that are not watched nobody here can tell. Nothing is released here: an object may come back with the next restored backup, and
//! a machine cannot.

use std::collections::BTreeSet;
use std::time::Duration;

use scaleset_hardware::{Hardware, Inventory, Machine};
use tracing::warn;

use crate::cluster::watched::WatchedNamespaces;
use crate::metrics::Metrics;

/// The object of a younger machine, wall time, may not be in the cache yet.
const AGE_MIN: Duration = Duration::from_mins(5);
/// So many are named in one sweep.
const NAMED_MAX: usize = 20;

/// Counts the machines of those namespaces whose uid is not among `uids`, which were read before, and names them in the log.
pub(super) async fn report(
    uids: BTreeSet<String>,
    namespaces: &WatchedNamespaces,
    hardware: &dyn Hardware,
    metrics: &Metrics,
) {
    let inventory = match hardware.observe_all().await {
        Ok(inventory) => inventory,
        Err(error) => return warn!(%error, "no inventory of the machines to compare the objects with"),
    };
    let mut strays = find(&uids, &inventory, hardware);
    strays.retain(|machine| namespaces.include(&machine.owner.namespace));
    metrics.found_strays(strays.len());
    for machine in strays.iter().take(NAMED_MAX) {
        warn!(
            owner = %machine.owner, uid = machine.uid, vm_id = machine.vm_id,
            "machine belongs to no object and stays; delete it at the hardware if nobody needs it"
        );
    }
    if strays.len() > NAMED_MAX {
        warn!(strays = strays.len(), named = NAMED_MAX, "more machines belong to no object");
    }
}

fn find<'inventory>(
    uids: &BTreeSet<String>,
    inventory: &'inventory Inventory,
    hardware: &dyn Hardware,
) -> Vec<&'inventory Machine> {
    let now = hardware.now();
    let is_old = |machine: &Machine| {
        let age = Duration::try_from(now.duration_since(machine.created_at)).unwrap_or_default();
        hardware.wall_duration(age) >= AGE_MIN
    };
    inventory.machines.values().filter(|machine| !uids.contains(&machine.uid) && is_old(machine)).collect()
}

#[cfg(test)]
mod tests;
