//! What a change of each field of the model costs on a VM that exists: the one table.
//!
//! Sources: Azure's "Modify a Virtual Machine Scale Set" and "Upgrade policies for Virtual Machine Scale Sets" for
//! what needs a restart, a reimage or nothing; where they are silent (shrinking a data disk, changing its storage) the
//! rule is ours: see `docs/model-changes.md`.

use crate::vocabulary::Impact;

/// A field of the model, as far as its cost is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImpactRow {
    /// Path inside the profile; `[]` stands for any item of a list.
    pub path: &'static str,
    /// What a change costs.
    pub impact: Impact,
    /// The same in words.
    pub explanation: &'static str,
}

/// Marks the row of a list's field whose value gets smaller.
const SMALLER: &str = "(smaller)";

impl ImpactRow {
    /// Path of the field that the row is about, without the direction of the change.
    pub fn field(&self) -> &'static str {
        self.path.trim_end_matches(SMALLER)
    }

    /// The cost as a sentence, as the field's description has it.
    pub fn sentence(&self) -> String {
        let Self { path, impact, explanation } = self;
        match (impact, path.ends_with(SMALLER)) {
            (Impact::Immutable, _) => format!("Immutable: {explanation}."),
            (_, true) => format!("A smaller value costs {}: {explanation}.", impact.as_str()),
            (_, false) => format!("A change costs {}: {explanation}.", impact.as_str()),
        }
    }
}

/// The table in Markdown, as `docs/model-changes.md` has it.
pub fn markdown_table() -> String {
    let head = ["| field | impact | what happens |\n|---|---|---|\n".to_owned()];
    let rows = IMPACT_TABLE
        .iter()
        .map(|ImpactRow { path, impact, explanation }| format!("| `{path}` | {} | {explanation} |\n", impact.as_str()));
    head.into_iter().chain(rows).collect()
}

const fn row(path: &'static str, impact: Impact, explanation: &'static str) -> ImpactRow {
    ImpactRow { path, impact, explanation }
}

/// Every field of the profile. A test fails when a field of the schema has no row.
pub const IMPACT_TABLE: &[ImpactRow] = &[
    row("vmSize", Impact::Restart, "the VM restarts with the new size"),
    row("priority", Impact::Immutable, "the priority is given at creation"),
    row("evictionPolicy", Impact::Immutable, "what an eviction does is agreed at creation"),
    row("maxPrice", Impact::Online, "taken while the VM is deallocated; an allocated one keeps its price until then"),
    row(
        "capacityReservationGroupRef",
        Impact::Online,
        "the VM is associated with the group at once, and draws on it when it is allocated",
    ),
    row("osProfile.computerNamePrefix", Impact::Immutable, "the computer name is given at creation"),
    row("osProfile.computerName", Impact::Immutable, "the computer name is given at creation"),
    row("osProfile.adminUsername", Impact::Immutable, "the administrator is made at creation"),
    row("osProfile.adminPasswordSecretRef", Impact::NextReimage, "the guest takes a password with its next reimage"),
    row("osProfile.sshPublicKeys", Impact::NextReimage, "the guest takes keys with its next reimage"),
    row("osProfile.customDataSecretRef", Impact::NextReimage, "the guest takes custom data with its next reimage"),
    row("storageProfile.imageReference", Impact::Reimage, "the OS disk is replaced"),
    row("storageProfile.osDisk.osType", Impact::Immutable, "the kind of operating system is given at creation"),
    row("storageProfile.osDisk.diskSizeGB", Impact::Reimage, "the OS disk is replaced"),
    row("storageProfile.osDisk.storageAccountType", Impact::Immutable, "the OS disk's storage is given at creation"),
    row("storageProfile.dataDisks[]", Impact::Online, "the disk is attached or detached"),
    row("storageProfile.dataDisks[].diskSizeGB", Impact::Online, "the disk grows"),
    row("storageProfile.dataDisks[].diskSizeGB(smaller)", Impact::Replace, "a disk cannot shrink"),
    row("storageProfile.dataDisks[].storageAccountType", Impact::Replace, "a disk cannot move to other storage"),
    row("networkProfile.networkInterfaces[]", Impact::Online, "the interface is changed in place"),
    row(
        "networkProfile.networkInterfaces[].loadBalancerBackendPools",
        Impact::Online,
        "the interface joins the pool, or leaves it; a drain that has begun keeps its time",
    ),
    row("networkProfile.healthProbe", Impact::Online, "the load balancer asks differently"),
    row("extensions[]", Impact::Online, "the agent runs the extension"),
    row(
        "scheduledEventsProfile.terminateNotificationProfile",
        Impact::Online,
        "deletions that are asked for from then on are announced so",
    ),
    row(
        "scheduledEventsProfile.osImageNotificationProfile",
        Impact::Online,
        "replacements of the OS disk that are asked for from then on are announced so",
    ),
    row("tags", Impact::None, "nothing on the VM notices"),
];

/// The row of `path`, which must be one of the table's.
pub fn impact_of(path: &str) -> ImpactRow {
    IMPACT_TABLE.iter().copied().find(|row| row.path == path).expect("the table has a row for every compared field")
}
