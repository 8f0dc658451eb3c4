//! A small region, models and requests to ask it with.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::profile::{
    Credentials, DataDisk, Extension, ExtensionSettings, ImageReference, NetworkInterface, NetworkProfile, OsDisk,
    StorageProfile,
};
use scaleset_hardware::sim::{RegionFile, Simulation, VirtualClock};
use scaleset_hardware::{CreateRequest, Hardware, HardwareError, Machine, Owner, Placement, QuotaRule, Target};

/// One region with two zones of two fault domains with two hosts of 8 vCPUs each, and one without zones. Times are
/// constant.
pub const REGION: &str = include_str!("region.yaml");

/// A simulation under a clock that the test moves.
pub struct Fixture {
    pub simulation: Simulation,
    pub clock: VirtualClock,
    pub start: Timestamp,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(REGION)
    }

    pub fn with(region: &str) -> Self {
        let clock = VirtualClock::default();
        let file = RegionFile::parse("the test's", region).unwrap();
        let simulation = Simulation::in_memory_with(file, clock.clone());
        Self { simulation, start: clock.now(), clock }
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Seconds since the start.
    pub fn seconds(&self, instant: Timestamp) -> i64 {
        instant.duration_since(self.start).as_secs()
    }

    pub fn at(&self, seconds: i64) -> Timestamp {
        self.start + SignedDuration::from_secs(seconds)
    }

    /// Creates a machine and waits until it runs.
    pub async fn running(&self, uid: &str) -> Machine {
        self.running_as(request(uid)).await
    }

    pub async fn running_as(&self, request: CreateRequest) -> Machine {
        let uid = request.target.uid.clone();
        self.simulation.create(request).await.unwrap();
        self.finish();
        self.machine(&uid).await
    }

    /// Moves the clock until nothing is under way.
    pub fn finish(&self) {
        while let Some(next) = self.simulation.next_event_at() {
            self.clock.advance_to(next);
        }
    }

    pub async fn machine(&self, uid: &str) -> Machine {
        self.simulation.observe(uid).await.unwrap().unwrap_or_else(|| panic!("there is no machine {uid}"))
    }
}

/// A machine of the smallest size in zone 1.
pub fn request(uid: &str) -> CreateRequest {
    CreateRequest {
        target: target(uid, 1),
        owner: Owner {
            kind: "ScaleSetVM".to_owned(),
            namespace: "default".to_owned(),
            name: uid.to_owned(),
            set_uid: Some("set".to_owned()),
            instance_number: None,
        },
        computer_name: uid.to_owned(),
        placement: placement(Some("1"), None),
        quota: QuotaRule::Counted,
        model_revision: "revision-1".to_owned(),
        model: Arc::new(model()),
    }
}

pub fn request_in(uid: &str, zone: Option<&str>, fault_domain: Option<i32>) -> CreateRequest {
    CreateRequest { placement: placement(zone, fault_domain), ..request(uid) }
}

pub fn request_of(uid: &str, model: VirtualMachineModel) -> CreateRequest {
    CreateRequest { model: Arc::new(model), ..request(uid) }
}

pub fn placement(zone: Option<&str>, fault_domain: Option<i32>) -> Placement {
    Placement {
        location: "testland".to_owned(),
        zone: zone.map(str::to_owned),
        platform_fault_domain: fault_domain,
        update_domain: Some(0),
        placement_group: Some("0".to_owned()),
    }
}

pub fn target(uid: &str, generation: i64) -> Target {
    Target { uid: uid.to_owned(), generation }
}

/// The smallest size, the newest Ubuntu, one interface with a public address.
pub fn model() -> VirtualMachineModel {
    VirtualMachineModel {
        vm_size: "Small".to_owned(),
        spot: None,
        capacity_reservation_group_ref: None,
        credentials: Credentials { admin_username: "azureuser".to_owned(), ..Credentials::default() },
        storage_profile: StorageProfile {
            image_reference: image("latest"),
            os_disk: OsDisk::default(),
            data_disks: Vec::new(),
        },
        network_profile: NetworkProfile { network_interfaces: vec![interface("nic01", "default")], health_probe: None },
        extensions: Vec::new(),
        terminate_notification: None,
        os_image_notification: None,
        tags: std::collections::BTreeMap::new(),
    }
}

pub fn image(version: &str) -> ImageReference {
    ImageReference {
        publisher: Some("Canonical".to_owned()),
        offer: Some("ubuntu-server".to_owned()),
        sku: Some("22_04-lts".to_owned()),
        version: Some(version.to_owned()),
        id: None,
    }
}

pub fn interface(name: &str, subnet: &str) -> NetworkInterface {
    NetworkInterface {
        name: name.to_owned(),
        primary: name == "nic01",
        subnet: subnet.to_owned(),
        network_security_group: None,
        public_ip_address: true,
        load_balancer_backend_pools: Vec::new(),
    }
}

pub fn disk(lun: i32, disk_size_gb: i32) -> DataDisk {
    DataDisk { lun, disk_size_gb, storage_account_type: scaleset_crds::vocabulary::StorageAccountType::default() }
}

pub fn extension(name: &str, after: &[&str]) -> Extension {
    Extension {
        name: name.to_owned(),
        publisher: "Microsoft.Azure.Extensions".to_owned(),
        extension_type: "CustomScript".to_owned(),
        type_handler_version: "2.0".to_owned(),
        settings: ExtensionSettings::default(),
        provision_after_extensions: after.iter().map(ToString::to_string).collect(),
        force_update_tag: None,
        suppress_failures: false,
    }
}

/// The text of an error that must be there.
pub fn refusal<T: std::fmt::Debug>(outcome: Result<T, HardwareError>) -> String {
    outcome.expect_err("the call was accepted").to_string()
}
