//! The diff engine: model view against instance view, field by field.
//!
//! Each difference carries its path, both values and what it costs, from the one table in `scaleset_crds::impact`.
//! Every struct is taken apart without `..`, so a new field of the model does not compile until it is compared here.

use std::collections::BTreeMap;
use std::fmt;

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::impact::impact_of;
use scaleset_crds::profile::{
    Credentials, DataDisk, Extension, ImageReference, NetworkInterface, NetworkProfile, OsDisk, StorageProfile,
};
use scaleset_crds::spot::{Priority, SpotTerms};
use scaleset_crds::vocabulary::Impact;
use serde::Serialize;

use super::{InstanceView, ModelView};

const VALUE_CHARACTERS_MAX: usize = 256;
/// How an absent value is shown.
const ABSENT: &str = "(none)";
/// What only a VM without a host takes.
pub(crate) const MAX_PRICE: &str = "maxPrice";

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Path inside the profile, list items by their key.
    pub path: String,
    /// What the hardware has.
    pub from: String,
    /// What the model says.
    pub to: String,
    /// What it costs.
    pub impact: Impact,
    /// The cost in words.
    pub explanation: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, from, to, impact, explanation } = self;
        write!(formatter, "{path}: {from} -> {to} ({impact:?}: {explanation})")
    }
}

/// All differences of one VM, sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewDiff {
    /// The differences.
    pub differences: Vec<Difference>,
}

impl ViewDiff {
    /// Whether model and hardware agree in every field.
    pub fn is_empty(&self) -> bool {
        self.differences.is_empty()
    }

    /// The dearest impact among the differences; [`Impact::None`] when there is none.
    pub fn impact(&self) -> Impact {
        self.differences.iter().map(|difference| difference.impact).max().unwrap_or(Impact::None)
    }

    /// The dearest impact that asks for an action now: what waits for the next reimage does not.
    pub fn impact_now(&self) -> Impact {
        let now = |impact: &Impact| *impact != Impact::NextReimage;
        self.differences.iter().map(|difference| difference.impact).filter(now).max().unwrap_or(Impact::None)
    }

    /// The differences that cost `impact`.
    pub fn with_impact(&self, impact: Impact) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(move |difference| difference.impact == impact)
    }
}

impl fmt::Display for ViewDiff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.differences.iter().map(Difference::to_string).collect();
        formatter.write_str(&lines.join("; "))
    }
}

/// What the hardware would have to become to be what the model says. Another maximum price is no matter for now while the
/// VM has a host.
pub fn diff(model: &ModelView, instance: &InstanceView) -> ViewDiff {
    let mut differences = diff_models(&instance.model, &model.model);
    let waits = differences.differences.iter_mut().filter(|difference| difference.path == MAX_PRICE);
    for difference in waits.filter(|_| instance.host.is_some()) {
        difference.impact = Impact::NextReimage;
    }
    differences
}

/// What changes from one model to another.
pub fn diff_models(from: &VirtualMachineModel, to: &VirtualMachineModel) -> ViewDiff {
    let mut found = Collector::default();
    let VirtualMachineModel {
        vm_size,
        spot,
        capacity_reservation_group_ref,
        credentials,
        storage_profile,
        network_profile,
        extensions,
        terminate_notification,
        os_image_notification,
        tags,
    } = to;
    found.compare("vmSize", "vmSize", &from.vm_size, vm_size);
    compare_spot(&mut found, from.spot.as_ref(), spot.as_ref());
    let path = "capacityReservationGroupRef";
    found.compare(path, path, &from.capacity_reservation_group_ref, capacity_reservation_group_ref);
    compare_credentials(&mut found, &from.credentials, credentials);
    compare_storage(&mut found, &from.storage_profile, storage_profile);
    compare_network(&mut found, &from.network_profile, network_profile);
    compare_extensions(&mut found, &from.extensions, extensions);
    let path = "scheduledEventsProfile.terminateNotificationProfile";
    found.compare(path, path, &from.terminate_notification, terminate_notification);
    let path = "scheduledEventsProfile.osImageNotificationProfile";
    found.compare(path, path, &from.os_image_notification, os_image_notification);
    found.compare("tags", "tags", &from.tags, tags);
    found.differences.sort();
    ViewDiff { differences: found.differences }
}

/// Terms are compared among Spot VMs only: that one is no Spot VM says everything.
fn compare_spot(found: &mut Collector, from: Option<&SpotTerms>, to: Option<&SpotTerms>) {
    let priority = |terms: Option<&SpotTerms>| if terms.is_some() { Priority::Spot } else { Priority::Regular };
    found.compare("priority", "priority", &priority(from), &priority(to));
    let (Some(from), Some(SpotTerms { eviction_policy, max_price })) = (from, to) else { return };
    found.compare("evictionPolicy", "evictionPolicy", &from.eviction_policy, eviction_policy);
    found.compare(MAX_PRICE, MAX_PRICE, &from.max_price, max_price);
}

fn compare_credentials(found: &mut Collector, from: &Credentials, to: &Credentials) {
    let Credentials { admin_username, admin_password_secret_ref, ssh_public_keys, custom_data_secret_ref } = to;
    let path = "osProfile.adminUsername";
    found.compare(path, path, &from.admin_username, admin_username);
    let path = "osProfile.adminPasswordSecretRef";
    found.compare(path, path, &from.admin_password_secret_ref, admin_password_secret_ref);
    let path = "osProfile.sshPublicKeys";
    found.compare(path, path, &from.ssh_public_keys, ssh_public_keys);
    let path = "osProfile.customDataSecretRef";
    found.compare(path, path, &from.custom_data_secret_ref, custom_data_secret_ref);
}

fn compare_storage(found: &mut Collector, from: &StorageProfile, to: &StorageProfile) {
    let StorageProfile { image_reference, os_disk, data_disks } = to;
    let path = "storageProfile.imageReference";
    if from.image_reference != *image_reference {
        found.add(path, path, image_text(&from.image_reference), image_text(image_reference));
    }
    let OsDisk { os_type, disk_size_gb, storage_account_type } = os_disk;
    let path = "storageProfile.osDisk.osType";
    found.compare(path, path, &from.os_disk.os_type, os_type);
    let path = "storageProfile.osDisk.diskSizeGB";
    found.compare(path, path, &from.os_disk.disk_size_gb, disk_size_gb);
    let path = "storageProfile.osDisk.storageAccountType";
    found.compare(path, path, &from.os_disk.storage_account_type, storage_account_type);
    let row = "storageProfile.dataDisks[]";
    for (key, pair) in pair_up(&from.data_disks, data_disks, |disk| disk.lun.to_string()) {
        let path = format!("storageProfile.dataDisks[lun={key}]");
        match pair {
            Pair::Both(from, to) => compare_data_disk(found, &path, from, to),
            Pair::OnlyFrom(from) => found.add(row, &path, text(from), ABSENT.to_owned()),
            Pair::OnlyTo(to) => found.add(row, &path, ABSENT.to_owned(), text(to)),
        }
    }
}

fn compare_data_disk(found: &mut Collector, path: &str, from: &DataDisk, to: &DataDisk) {
    let DataDisk { lun: _, disk_size_gb, storage_account_type } = to;
    let row = if *disk_size_gb < from.disk_size_gb {
        "storageProfile.dataDisks[].diskSizeGB(smaller)"
    } else {
        "storageProfile.dataDisks[].diskSizeGB"
    };
    found.compare(row, &format!("{path}.diskSizeGB"), &from.disk_size_gb, disk_size_gb);
    let row = "storageProfile.dataDisks[].storageAccountType";
    found.compare(row, &format!("{path}.storageAccountType"), &from.storage_account_type, storage_account_type);
}

fn compare_network(found: &mut Collector, from: &NetworkProfile, to: &NetworkProfile) {
    let NetworkProfile { network_interfaces, health_probe } = to;
    let path = "networkProfile.healthProbe";
    found.compare(path, path, &from.health_probe, health_probe);
    let row = "networkProfile.networkInterfaces[]";
    for (key, pair) in pair_up(&from.network_interfaces, network_interfaces, |interface| interface.name.clone()) {
        let path = format!("networkProfile.networkInterfaces[{key}]");
        match pair {
            Pair::Both(from, to) => compare_interface(found, &path, from, to),
            Pair::OnlyFrom(from) => found.add(row, &path, text(from), ABSENT.to_owned()),
            Pair::OnlyTo(to) => found.add(row, &path, ABSENT.to_owned(), text(to)),
        }
    }
}

fn compare_interface(found: &mut Collector, path: &str, from: &NetworkInterface, to: &NetworkInterface) {
    let NetworkInterface {
        name: _,
        primary,
        subnet,
        network_security_group,
        public_ip_address,
        load_balancer_backend_pools,
    } = to;
    let row = "networkProfile.networkInterfaces[]";
    found.compare(row, &format!("{path}.primary"), &from.primary, primary);
    found.compare(row, &format!("{path}.subnet"), &from.subnet, subnet);
    let group_path = format!("{path}.networkSecurityGroup");
    found.compare(row, &group_path, &from.network_security_group, network_security_group);
    found.compare(row, &format!("{path}.publicIPAddress"), &from.public_ip_address, public_ip_address);
    let row = "networkProfile.networkInterfaces[].loadBalancerBackendPools";
    let pools_path = format!("{path}.loadBalancerBackendPools");
    found.compare(row, &pools_path, &from.load_balancer_backend_pools, load_balancer_backend_pools);
}

/// An extension is compared as a whole: whatever changes in it, the agent runs it again.
fn compare_extensions(found: &mut Collector, from: &[Extension], to: &[Extension]) {
    let row = "extensions[]";
    for (key, pair) in pair_up(from, to, |extension| extension.name.clone()) {
        let path = format!("extensions[{key}]");
        match pair {
            Pair::Both(from, to) => found.compare(row, &path, from, to),
            Pair::OnlyFrom(from) => found.add(row, &path, text(from), ABSENT.to_owned()),
            Pair::OnlyTo(to) => found.add(row, &path, ABSENT.to_owned(), text(to)),
        }
    }
}

enum Pair<'item, T> {
    OnlyFrom(&'item T),
    OnlyTo(&'item T),
    Both(&'item T, &'item T),
}

/// Items of two lists matched by key, in the order of their keys; the order of the lists means nothing.
fn pair_up<'item, T>(from: &'item [T], to: &'item [T], key: impl Fn(&T) -> String) -> BTreeMap<String, Pair<'item, T>> {
    let mut pairs: BTreeMap<String, Pair<'item, T>> =
        from.iter().map(|item| (key(item), Pair::OnlyFrom(item))).collect();
    for item in to {
        let pair = match pairs.remove(&key(item)) {
            Some(Pair::OnlyFrom(before) | Pair::Both(before, _)) => Pair::Both(before, item),
            Some(Pair::OnlyTo(_)) | None => Pair::OnlyTo(item),
        };
        pairs.insert(key(item), pair);
    }
    pairs
}

#[derive(Default)]
struct Collector {
    differences: Vec<Difference>,
}

impl Collector {
    fn compare<T: PartialEq + Serialize>(&mut self, row: &str, path: &str, from: &T, to: &T) {
        if from != to {
            self.add(row, path, text(from), text(to));
        }
    }

    fn add(&mut self, row: &str, path: &str, from: String, to: String) {
        let row = impact_of(row);
        self.differences.push(Difference {
            path: path.to_owned(),
            from,
            to,
            impact: row.impact,
            explanation: row.explanation,
        });
    }
}

fn image_text(image: &ImageReference) -> String {
    cut(match &image.id {
        Some(id) => id.clone(),
        None => format!("{}:{}", image.family(), image.requested_version()),
    })
}

/// A value for people: strings bare, everything else as compact JSON, cut at 256 characters.
fn text<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(string)) => cut(string),
        Ok(serde_json::Value::Null) | Err(_) => ABSENT.to_owned(),
        Ok(other) => cut(other.to_string()),
    }
}

fn cut(text: String) -> String {
    if text.chars().count() <= VALUE_CHARACTERS_MAX {
        return text;
    }
    let kept: String = text.chars().take(VALUE_CHARACTERS_MAX - 1).collect();
    format!("{kept}…")
}
