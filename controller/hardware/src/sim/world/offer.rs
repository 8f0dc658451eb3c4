//! What a region offers for a model, and what it answers when it does not: size, image, zone, subnet, addresses.
//! Every refusal names what there is.

use scaleset_crds::VirtualMachineModel;
use scaleset_crds::health::HealthProbe;
use scaleset_crds::load_balancing::drain_timeouts;
use scaleset_crds::profile::{ImageReference, NetworkInterface};
use scaleset_crds::spot::Priority;

use super::{Region, World, claim_of, priority_of};
use crate::catalog::Size;
use crate::error::HardwareError;
use crate::headroom::Headroom;
use crate::machine::Placement;
use crate::sim::address::AddressPool;
use crate::sim::extension;
use crate::sim::placement::{Hosts, Need};
use crate::sim::quota::{Claim, QuotaLedger};
use crate::sim::region::{RegionDefinition, SizeDefinition};
use crate::sim::vm::{Image, Interface, Record};

/// Update domains of a placement group (Azure: availability sets and placement groups have five by default).
const UPDATE_DOMAINS: i32 = 5;

impl World {
    pub(super) fn region(&self, location: &str) -> Result<&Region, HardwareError> {
        self.regions.get(location).ok_or_else(|| {
            refused(
                "InvalidParameter",
                format!("location {location} is not known, there are: {}", names(self.regions.keys())),
            )
        })
    }

    /// What a machine of this size and priority takes, if the place offers the size.
    pub(super) fn claim(&self, size: &str, priority: Priority, placement: &Placement) -> Result<Claim, HardwareError> {
        let region = self.region(&placement.location)?;
        let offered = self.sizes.get(size).and_then(|definition| Some((definition, region.offer_of(definition)?)));
        let zone = placement.zone.as_ref();
        if let Some((definition, offer)) = &offered
            && zone.is_none_or(|zone| offer.zones.contains(zone))
        {
            return Ok(claim_of(definition, priority));
        }
        let here = |definition: &&SizeDefinition| {
            region.offer_of(definition).is_some_and(|offer| zone.is_none_or(|zone| offer.zones.contains(zone)))
        };
        let place = zone.map(|zone| format!(" zone {zone}")).unwrap_or_default();
        let there_are = names(self.sizes.values().filter(here).map(|definition| &definition.name));
        let message = format!("size {size} is not offered in {}{place}, there are: {there_are}", placement.location);
        Err(refused("SkuNotAvailable", message))
    }

    /// Sizes that an allocated machine can take only after it was deallocated: quota and another host have room for them,
    /// its own has not.
    pub(super) fn sizes_after_deallocation(&self, record: &Record) -> Vec<String> {
        if let Some(sizes) = self.reserved_sizes_after_deallocation(record) {
            return sizes;
        }
        let model = self.model(record);
        let priority = priority_of(model);
        let held = self.sizes.get(&model.vm_size).map(|size| claim_of(size, priority));
        let region = self.regions.get(&record.placement.location);
        let Some(((host, held), region)) = record.host.as_deref().zip(held.as_ref()).zip(region) else {
            return Vec::new();
        };
        let takes = |size: &&SizeDefinition| {
            let claim = claim_of(size, priority);
            let need = Need {
                asks: &record.uid,
                size: &size.name,
                claim: &claim,
                placement: &record.placement,
                set_uid: None,
                current: Some((host, held)),
            };
            region.hosts.must_leave(&need)
                && self.check_quota(record.quota, &record.placement.location, &claim, Some(held)).is_ok()
                && self.claim(&size.name, priority, &record.placement).is_ok()
        };
        self.sizes.values().filter(takes).map(|size| size.name.clone()).collect()
    }

    /// What is left for machines of a size; `None` where the location does not offer it.
    pub(crate) fn headroom(&self, location: &str, size: &str, priority: Priority) -> Option<Headroom> {
        let region = self.regions.get(location)?;
        let definition = self.sizes.get(size)?;
        region.offer_of(definition)?;
        let claim = claim_of(definition, priority);
        let free = |(name, pool): (&String, &AddressPool)| (name.clone(), i64::from(pool.free()));
        Some(Headroom {
            vcpus: i64::from(claim.vcpus),
            quotas: region.quota.of(&claim, self.spot_usage(location)),
            places: self.room_beside_pressures(location, size, &claim, region.hosts.room(&claim)),
            spot_price: if priority == Priority::Spot { self.spot_price(location, size) } else { None },
            free_addresses: region.subnets.iter().map(free).collect(),
        })
    }

    /// The image that a reference means now.
    pub(super) fn image(&self, reference: &ImageReference) -> Result<Image, HardwareError> {
        self.image_version(reference, reference.requested_version())
    }

    /// A version of the image that a reference names.
    pub(super) fn image_version(&self, reference: &ImageReference, wanted: &str) -> Result<Image, HardwareError> {
        let family = reference.family();
        let Some(offer) = self.images.get(&family) else {
            let message = format!("image {family} is not known, there are: {}", names(self.images.keys()));
            return Err(refused("ImageNotFound", message));
        };
        let version = match wanted {
            "latest" => offer.versions.last(),
            exact => offer.versions.iter().find(|version| *version == exact),
        };
        version.map(|version| offer.image(version)).ok_or_else(|| {
            let there_are = names(offer.versions.iter());
            refused("ImageNotFound", format!("image {family} has no version {wanted}, there are: {there_are}"))
        })
    }

    /// Checks what a model names besides its size and image.
    pub(super) fn check_model(&self, model: &VirtualMachineModel, location: &str) -> Result<(), HardwareError> {
        let region = self.region(location)?;
        region.check_interfaces(&model.network_profile.network_interfaces)?;
        region.check_pools(&model.network_profile.network_interfaces)?;
        region.check_probe(model.network_profile.health_probe.as_ref())?;
        extension::ordered(&model.extensions).map(drop).map_err(|problem| refused("InvalidParameter", problem))
    }
}

impl Region {
    pub(super) fn new(definition: RegionDefinition) -> Self {
        let pool = |subnet: &crate::sim::region::SubnetDefinition| {
            (subnet.name.clone(), AddressPool::new(subnet.address_prefix))
        };
        Self {
            hosts: Hosts::new(&definition),
            quota: QuotaLedger::new(definition.quotas.clone()),
            subnets: definition.subnets.iter().map(pool).collect(),
            public: AddressPool::new(definition.public_address_prefix),
            definition,
        }
    }

    /// The size as this region offers it; `None` when it does not.
    pub(super) fn offer_of(&self, size: &SizeDefinition) -> Option<Size> {
        let SizeDefinition {
            name,
            family,
            vcpus,
            memory_mib,
            memory_preserving,
            spot_price,
            reservation_fault_domain_count,
        } = size;
        let restriction = self.definition.restrictions.iter().find(|restriction| restriction.size == *name);
        let zones = restriction.map_or(&self.definition.zones, |restriction| &restriction.zones);
        if restriction.is_some() && zones.is_empty() {
            return None;
        }
        Some(Size {
            family: family.clone(),
            vcpus: *vcpus,
            memory_mib: *memory_mib,
            memory_preserving: *memory_preserving,
            spot_price: *spot_price,
            reservation_fault_domain_count: reservation_fault_domain_count
                .map(|count| count.min(self.definition.fault_domain_count)),
            zones: zones.clone(),
        })
    }

    pub(super) fn check_placement(&self, placement: &Placement) -> Result<(), HardwareError> {
        let Placement { location, zone, platform_fault_domain, update_domain, placement_group: _ } = placement;
        if let Some(zone) = zone.as_ref().filter(|zone| !self.definition.zones.contains(zone)) {
            let there_are = names(self.definition.zones.iter());
            return Err(refused("InvalidParameter", format!("{location} has no zone {zone}, there are: {there_are}")));
        }
        let count = self.hosts.fault_domain_count();
        if let Some(domain) = platform_fault_domain.filter(|domain| !(0..count).contains(domain)) {
            let message = format!("platformFaultDomain {domain} is out of range in {location}: 0 to {}", count - 1);
            return Err(refused("InvalidParameter", message));
        }
        if let Some(domain) = update_domain.filter(|domain| !(0..UPDATE_DOMAINS).contains(domain)) {
            let message = format!("updateDomain {domain} is out of range: 0 to {}", UPDATE_DOMAINS - 1);
            return Err(refused("InvalidParameter", message));
        }
        Ok(())
    }

    /// Checks that there are as many free addresses as `wanted` needs once the ones that it does not keep are back.
    pub(super) fn check_addresses(&self, held: &[Interface], wanted: &[NetworkInterface]) -> Result<(), HardwareError> {
        for (name, pool) in &self.subnets {
            let given_back = held.iter().filter(|has| has.subnet == *name && !keeps(has, wanted)).count();
            let needed = wanted.iter().filter(|wants| wants.subnet == *name);
            let needed = needed.filter(|wants| !held.iter().any(|has| is_for(has, wants))).count();
            if needed > pool.free() as usize + given_back {
                let message = format!(
                    "subnet {name} with prefix {} has {} of {} addresses free, {needed} are needed",
                    pool.prefix(),
                    pool.free() as usize + given_back,
                    pool.capacity()
                );
                return Err(HardwareError::NoCapacity { code: "SubnetIsFull", message });
            }
        }
        let given_back = held.iter().filter(|has| has.public.is_some()).count();
        let needed = wanted.iter().filter(|wants| wants.public_ip_address).count();
        if needed > self.public.free() as usize + given_back {
            let message = format!(
                "prefix {} has {} of {} public addresses free, {needed} are needed",
                self.public.prefix(),
                self.public.free() as usize + given_back,
                self.public.capacity()
            );
            return Err(HardwareError::NoCapacity { code: "PublicIPCountLimitReached", message });
        }
        Ok(())
    }

    /// Gives each wanted interface its addresses; one that stays in its subnet keeps them.
    pub(super) fn assign_addresses(&mut self, held: Vec<Interface>, wanted: &[NetworkInterface]) -> Vec<Interface> {
        let (mut kept, given_up): (Vec<_>, Vec<_>) = held.into_iter().partition(|interface| keeps(interface, wanted));
        for interface in &given_up {
            self.release(interface);
        }
        for interface in &mut kept {
            let public = wanted.iter().any(|wants| wants.name == interface.name && wants.public_ip_address);
            if let Some(address) = interface.public.take_if(|_| !public) {
                self.public.release(address);
            }
        }
        let mut assigned = Vec::with_capacity(wanted.len());
        for wants in wanted {
            let mut interface = match kept.iter().position(|has| is_for(has, wants)) {
                Some(index) => kept.swap_remove(index),
                None => self.fresh_interface(wants),
            };
            if wants.public_ip_address && interface.public.is_none() {
                interface.public = self.public.take();
            }
            assigned.push(interface);
        }
        assigned
    }

    fn fresh_interface(&mut self, wants: &NetworkInterface) -> Interface {
        let private = self.subnets.get_mut(&wants.subnet).and_then(AddressPool::take);
        Interface {
            name: wants.name.clone(),
            subnet: wants.subnet.clone(),
            private: private.expect("free addresses were counted before"),
            public: None,
        }
    }

    /// Takes the addresses of an interface back.
    pub(super) fn release(&mut self, interface: &Interface) {
        let Interface { name: _, subnet, private, public } = interface;
        if let Some(pool) = self.subnets.get_mut(subnet) {
            pool.release(*private);
        }
        if let Some(address) = public {
            self.public.release(*address);
        }
    }

    /// Whether the region has the load balancer of a health probe.
    pub(super) fn has_balancer(&self, probe: &HealthProbe) -> bool {
        self.definition.load_balancers.iter().any(|balancer| balancer.name == probe.load_balancer)
    }

    fn check_probe(&self, probe: Option<&HealthProbe>) -> Result<(), HardwareError> {
        let Some(probe) = probe.filter(|probe| !self.has_balancer(probe)) else {
            return Ok(());
        };
        let RegionDefinition { name: location, load_balancers, .. } = &self.definition;
        let there_are = names(load_balancers.iter().map(|balancer| &balancer.name));
        let wanted = &probe.load_balancer;
        let message = format!("{location} has no load balancer {wanted} for the health probe, there are: {there_are}");
        Err(refused("InvalidParameter", message))
    }

    /// The load balancer of a backend pool that the region does not have.
    pub(super) fn unknown_pool<'a>(&self, interfaces: &'a [NetworkInterface]) -> Option<&'a str> {
        let known = |name: &str| self.definition.load_balancers.iter().any(|balancer| balancer.name == name);
        drain_timeouts(interfaces).into_keys().find(|name| !known(name))
    }

    fn check_pools(&self, interfaces: &[NetworkInterface]) -> Result<(), HardwareError> {
        let Some(wanted) = self.unknown_pool(interfaces) else { return Ok(()) };
        let RegionDefinition { name: location, load_balancers, .. } = &self.definition;
        let there_are = names(load_balancers.iter().map(|balancer| &balancer.name));
        let message = format!("{location} has no load balancer {wanted} for a backend pool, there are: {there_are}");
        Err(refused("InvalidParameter", message))
    }

    fn check_interfaces(&self, interfaces: &[NetworkInterface]) -> Result<(), HardwareError> {
        let RegionDefinition { name: location, network_security_groups: groups, .. } = &self.definition;
        for NetworkInterface {
            name,
            primary: _,
            subnet,
            network_security_group,
            public_ip_address: _,
            load_balancer_backend_pools: _,
        } in interfaces
        {
            if !self.subnets.contains_key(subnet) {
                let there_are = names(self.subnets.keys());
                let message = format!("{location} has no subnet {subnet} for interface {name}, there are: {there_are}");
                return Err(refused("SubnetNotFound", message));
            }
            if let Some(group) = network_security_group.as_ref().filter(|group| !groups.contains(group)) {
                let there_are = names(groups.iter());
                let message = format!(
                    "{location} has no network security group {group} for interface {name}, there are: {there_are}"
                );
                return Err(refused("InvalidParameter", message));
            }
        }
        Ok(())
    }
}

/// Whether one of the wanted interfaces keeps these addresses.
fn keeps(held: &Interface, wanted: &[NetworkInterface]) -> bool {
    wanted.iter().any(|wants| is_for(held, wants))
}

fn is_for(held: &Interface, wants: &NetworkInterface) -> bool {
    wants.name == held.name && wants.subnet == held.subnet
}

pub(super) fn refused(code: &'static str, message: String) -> HardwareError {
    HardwareError::NotOffered { code, message }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let all: Vec<&str> = names.map(String::as_str).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
