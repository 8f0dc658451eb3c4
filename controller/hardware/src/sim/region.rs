//! The region file: what the simulated regions consist of.
//!
//! Strict: an unknown field, a duplicate name or a number out of range refuses the whole file, in one line that says
//! where, what and how to mend it. Nothing is read from it after the start; what changes while the simulation runs
//! lives in the store. `docs/hardware.md` explains the file field by field.

mod check;
mod error;

use std::collections::BTreeMap;
use std::path::Path;

use scaleset_crds::health::HealthProbe;
use scaleset_crds::load_balancing::LoadBalancerSku;
use scaleset_crds::spot::Price;
use scaleset_crds::vocabulary;
use serde::Deserialize;

pub use error::RegionFileError;

use crate::sim::address::AddressPrefix;
use crate::sim::application::ApplicationRule;
use crate::sim::latency::Latencies;
use crate::sim::load::Load;
use crate::sim::requests::RequestLoad;

/// The region file that is used when none is named.
const EMBEDDED: &str = include_str!("region.yaml");

/// A checked region file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionFile {
    /// Every random draw follows from it.
    pub seed: u64,
    /// How long operations take, scenario time.
    pub latencies: Latencies,
    /// Sizes of machine; a region offers all of them unless it restricts one.
    pub sizes: Vec<SizeDefinition>,
    /// Images, offered in every region.
    pub images: Vec<ImageDefinition>,
    /// The regions.
    pub regions: Vec<RegionDefinition>,
    /// What the applications in the guests answer; the first rule that fits a machine decides.
    #[serde(default)]
    pub applications: Vec<ApplicationRule>,
    /// The load of machines; the first that fits a machine and a metric decides.
    #[serde(default)]
    pub loads: Vec<Load>,
}

/// One size of machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SizeDefinition {
    /// Name, for example `Standard_D2s_v3`.
    pub name: String,
    /// Family, which quotas are counted by.
    pub family: String,
    /// Virtual CPUs.
    pub vcpus: i32,
    /// Memory in MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: i64,
    /// Whether maintenance preserves memory.
    pub memory_preserving: bool,
    /// What an hour of it usually costs as a Spot machine, in US dollars; absent where it is not offered as one.
    #[serde(default)]
    pub spot_price: Option<Price>,
    /// Fault domains that a reservation of it is spread over, 1 where it knows none; absent where it cannot be reserved.
    #[serde(default)]
    pub reservation_fault_domain_count: Option<i32>,
}

/// One image: the three parts of a marketplace image, or the id of an own one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageDefinition {
    /// Publisher of a marketplace image.
    #[serde(default)]
    pub publisher: Option<String>,
    /// Offer of the publisher.
    #[serde(default)]
    pub offer: Option<String>,
    /// Plan of the offer.
    #[serde(default)]
    pub sku: Option<String>,
    /// Id of an own image, instead of the three parts.
    #[serde(default)]
    pub id: Option<String>,
    /// Operating system that a guest made from it reports.
    pub os_name: String,
    /// Version of that operating system.
    pub os_version: String,
    /// Versions, oldest first; `latest` means the last one.
    pub versions: Vec<String>,
}

/// One region.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionDefinition {
    /// Location, for example `eastus`.
    pub name: String,
    /// Zones; none in a region without zones.
    #[serde(default)]
    pub zones: Vec<String>,
    /// Fault domains of each zone, or of the region without zones.
    pub fault_domain_count: i32,
    /// Hosts of each fault domain.
    pub hosts: Vec<HostGroup>,
    /// Sizes that only some zones offer.
    #[serde(default)]
    pub restrictions: Vec<Restriction>,
    /// Subnets that private addresses come from.
    pub subnets: Vec<SubnetDefinition>,
    /// Where public addresses come from.
    pub public_address_prefix: AddressPrefix,
    /// Network security groups that an interface may name.
    #[serde(default)]
    pub network_security_groups: Vec<String>,
    /// Load balancers that probe machines.
    #[serde(default)]
    pub load_balancers: Vec<LoadBalancerDefinition>,
    /// Limits on vCPUs.
    pub quotas: Quotas,
}

/// Equal hosts, so many in each fault domain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostGroup {
    /// Part of the hosts' names.
    pub name: String,
    /// Hosts in each fault domain.
    pub count: u32,
    /// Virtual CPUs of one host.
    pub vcpus: i32,
    /// Memory of one host in MiB.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: i64,
    /// Size families that run here and nowhere else; without any, the group takes every other family.
    #[serde(default)]
    pub families: Vec<String>,
}

/// A size that only some zones of the region offer; with no zone at all the region does not offer it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restriction {
    /// The size.
    pub size: String,
    /// Zones that offer it.
    pub zones: Vec<String>,
}

/// One subnet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubnetDefinition {
    /// Name that an interface refers to.
    pub name: String,
    /// Its addresses; the first four and the last are the network's own.
    pub address_prefix: AddressPrefix,
}

/// A load balancer: it probes every machine whose primary interface is in its subnet, and every one that has joined its
/// backend pool.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadBalancerDefinition {
    /// Name.
    pub name: String,
    /// What it can do.
    #[serde(default)]
    pub sku: LoadBalancerSku,
    /// Subnet of the machines behind it.
    pub subnet: String,
    /// What it asks them.
    pub probe: ProbeDefinition,
    /// Requests that are sent through it, as long as nothing else is said through the control endpoint; none when absent.
    #[serde(default)]
    pub requests: Option<RequestLoad>,
}

/// The question that a load balancer asks a machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeDefinition {
    /// Protocol.
    pub protocol: ProbeProtocol,
    /// Port, 1 to 65535.
    pub port: u16,
    /// Path, for `Http` and `Https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_path: Option<String>,
    /// Seconds between two questions, 5 (default) to 300.
    #[serde(default = "interval_seconds")]
    pub interval_seconds: i32,
    /// Bad answers in a row that make a machine unhealthy, 1 to 24, default 2; one good answer makes it healthy.
    #[serde(default = "number_of_probes")]
    pub number_of_probes: i32,
}

const fn interval_seconds() -> i32 {
    5
}

const fn number_of_probes() -> i32 {
    2
}

impl LoadBalancerDefinition {
    /// Its probe as a model would name it.
    pub fn health_probe(&self) -> HealthProbe {
        let ProbeDefinition { protocol, port, request_path, interval_seconds, number_of_probes } = self.probe.clone();
        HealthProbe {
            load_balancer: self.name.clone(),
            protocol: match protocol {
                ProbeProtocol::Tcp => vocabulary::ProbeProtocol::Tcp,
                ProbeProtocol::Http => vocabulary::ProbeProtocol::Http,
                ProbeProtocol::Https => vocabulary::ProbeProtocol::Https,
            },
            port: i32::from(port),
            request_path,
            interval_seconds,
            number_of_probes,
        }
    }
}

/// Protocol of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
pub enum ProbeProtocol {
    /// A connection suffices.
    Tcp,
    /// Status 200 over HTTP.
    Http,
    /// Status 200 over TLS.
    Https,
}

/// Limits on vCPUs in one region (Azure: virtual machine vCPU quotas).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quotas {
    /// All families together.
    pub regional_total: i64,
    /// By family; a family that is not named is bounded by the total alone.
    #[serde(default)]
    pub families: BTreeMap<String, i64>,
    /// Spot machines of all families, which count against nothing else; without a limit when absent.
    #[serde(default)]
    pub spot: Option<i64>,
}

impl RegionFile {
    /// The region file that comes with the crate.
    pub fn embedded() -> Self {
        Self::parse("the embedded one", EMBEDDED).expect("the embedded region file is checked by a test")
    }

    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, RegionFileError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| RegionFileError::Unreadable { file: file.clone(), source })?;
        Self::parse(&file, &text)
    }

    /// Checks the text of a file; `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, RegionFileError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let mut path = String::new();
        let parsed: Self = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
            serde_path_to_error::deserialize(deserializer).map_err(|error| {
                path = error.path().to_string();
                error.into_inner()
            })
        })
        .map_err(|error| RegionFileError::malformed(file, &path, &error))?;
        check::check(&parsed).map_err(|problem| problem.in_file(file))?;
        Ok(parsed)
    }

    /// The same regions, but every operation is complete when its call returns.
    #[must_use]
    pub fn without_latency(mut self) -> Self {
        self.latencies = Latencies::zero();
        self
    }
}

impl ImageDefinition {
    /// What a catalogue of images is keyed by: `publisher:offer:sku`, or the id.
    pub fn family(&self) -> String {
        let Self { publisher, offer, sku, id, os_name: _, os_version: _, versions: _ } = self.clone();
        scaleset_crds::profile::ImageReference { publisher, offer, sku, version: None, id }.family()
    }
}
