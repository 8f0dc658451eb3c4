//! Where machines go, and what is answered when there is no room: hosts, quotas, sizes, images, addresses.

use std::collections::BTreeMap;

use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::{PowerState, PowerWish};
use scaleset_hardware::headroom::Quota;
use scaleset_hardware::sim::Outage;
use scaleset_hardware::{CreateRequest, Hardware, HardwareError, Headroom, Owner, Placement, Shutdown, UpdateMethod};

use crate::fixture::{
    Fixture, REGION, image, interface, model, placement, refusal, request, request_in, request_of, target,
};

fn sized(uid: &str, size: &str, zone: Option<&str>, fault_domain: Option<i32>) -> CreateRequest {
    let mut wanted = model();
    size.clone_into(&mut wanted.vm_size);
    CreateRequest { placement: placement(zone, fault_domain), ..request_of(uid, wanted) }
}

#[tokio::test]
async fn a_named_zone_and_fault_domain_are_kept_to() {
    let fixture = Fixture::new();
    for (number, (zone, domain)) in [("1", 0), ("1", 1), ("2", 0), ("2", 1)].into_iter().enumerate() {
        let uid = format!("m{number}");
        let machine = fixture.simulation.create(request_in(&uid, Some(zone), Some(domain))).await.unwrap();
        let host = machine.host.unwrap();
        assert!(host.starts_with(&format!("testland-z{zone}-fd{domain}-general")), "{host}");
        assert_eq!(machine.placement, placement(Some(zone), Some(domain)));
    }
}

#[tokio::test]
async fn without_a_fault_domain_a_set_is_spread_over_all_of_them() {
    let fixture = Fixture::new();
    let mut by_domain: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..8 {
        let machine = fixture.simulation.create(request_in(&format!("m{number}"), None, None)).await.unwrap();
        let host = machine.host.unwrap();
        *by_domain.entry(host[.."testland-z1-fd0".len()].to_owned()).or_default() += 1;
        assert_eq!(machine.placement.platform_fault_domain, None, "the choice is the hardware's own");
    }
    let expected = ["testland-z1-fd0", "testland-z1-fd1", "testland-z2-fd0", "testland-z2-fd1"];
    assert_eq!(by_domain, expected.map(|domain| (domain.to_owned(), 2)).into());
}

#[tokio::test]
async fn hosts_are_packed_so_that_a_large_machine_still_finds_one() {
    let fixture = Fixture::new();
    for number in 0..8 {
        fixture.simulation.create(request_in(&format!("m{number}"), Some("1"), Some(0))).await.unwrap();
    }
    let large = fixture.simulation.create(sized("large", "Large", Some("1"), Some(0))).await;
    assert_eq!(large.unwrap().host.as_deref(), Some("testland-z1-fd0-general-01"));
}

#[tokio::test]
async fn a_full_place_says_how_much_was_needed_and_how_much_is_free() {
    let fixture = Fixture::new();
    for number in 0..3 {
        fixture.simulation.create(sized(&format!("m{number}"), "Medium", Some("1"), Some(0))).await.unwrap();
    }
    let zonal = refusal(fixture.simulation.create(sized("zonal", "Large", Some("1"), Some(0))).await);
    assert_eq!(
        zonal,
        "ZonalAllocationFailed: Large needs 8 vcpus and 8192 mib on one host, testland zone 1 fault domain 0 has 2 hosts up for standardB with 4 vcpus free, at most 4 on one"
    );
    let fixture = Fixture::with(&REGION.replace("families: {standardB: 24}", "families: {}"));
    let huge = refusal(fixture.simulation.create(sized("huge", "Huge", Some("1"), None)).await);
    assert_eq!(
        huge,
        "OverconstrainedZonalAllocationRequest: Huge needs 32 vcpus and 8192 mib on one host, no host in testland zone 1 is as large: the largest has 8 vcpus"
    );
    let huge = refusal(fixture.simulation.create(sized("huge", "Huge", None, None)).await);
    assert!(huge.starts_with("OverconstrainedAllocationRequest: Huge needs 32 vcpus"), "{huge}");
    for number in 0..8 {
        fixture.simulation.create(sized(&format!("m{number}"), "Large", None, None)).await.unwrap();
    }
    let refused = refusal(fixture.simulation.create(sized("regional", "Small", None, None)).await);
    assert_eq!(
        refused,
        "AllocationFailed: Small needs 1 vcpus and 1024 mib on one host, testland has 8 hosts up for standardA with 0 vcpus free, at most 0 on one"
    );
}

#[tokio::test]
async fn a_family_with_hosts_of_its_own_goes_there_and_nowhere_else() {
    let fixture = Fixture::new();
    let mut hosts = Vec::new();
    for number in 0..16 {
        let created = fixture.simulation.create(sized(&format!("m{number}"), "Gpu", Some("1"), None)).await.unwrap();
        hosts.push(created.host.unwrap());
    }
    assert!(hosts.iter().all(|host| host.contains("-gpu-")), "{hosts:?}");
    let refused = fixture.simulation.create(sized("more", "Gpu", Some("1"), None)).await.unwrap_err();
    assert_eq!(refused.code(), "ZonalAllocationFailed", "{refused}");
}

#[tokio::test]
async fn quota_counts_what_is_allocated_and_nothing_else() {
    let fixture = Fixture::new();
    for number in 0..3 {
        fixture.simulation.create(sized(&format!("m{number}"), "Large", None, None)).await.unwrap();
    }
    fixture.finish();
    let more = sized("more", "Large", None, None);
    let refused = fixture.simulation.create(more.clone()).await.unwrap_err();
    let expected = HardwareError::Quota { family: "standardB".to_owned(), limit: 24, usage: 24, required: 8 };
    assert_eq!(refused, expected);

    fixture.simulation.set_power(target("m0", 1), PowerWish::Stopped, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    assert_eq!(fixture.simulation.create(more.clone()).await.unwrap_err(), expected, "a stopped machine counts");

    fixture.simulation.set_power(target("m0", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    assert_eq!(fixture.simulation.create(more.clone()).await.unwrap_err(), expected, "until it is deallocated");
    fixture.finish();
    fixture.simulation.create(more).await.unwrap();
    let started = fixture.simulation.set_power(target("m0", 1), PowerWish::Running, Shutdown::Graceful).await;
    assert_eq!(started.unwrap_err(), expected, "a start allocates again");

    fixture.simulation.delete(target("m1", 1), Shutdown::Graceful).await.unwrap();
    fixture.finish();
    fixture.simulation.set_power(target("m0", 1), PowerWish::Running, Shutdown::Graceful).await.unwrap();
}

#[tokio::test]
async fn a_deallocated_machine_may_find_no_room_when_it_starts() {
    let fixture = Fixture::with(&REGION.replace("families: {standardB: 24}", "families: {}"));
    fixture.running_as(sized("a", "Large", Some("1"), Some(0))).await;
    fixture.simulation.set_power(target("a", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    for uid in ["b", "c"] {
        fixture.simulation.create(sized(uid, "Large", Some("1"), Some(0))).await.unwrap();
    }
    let refused =
        fixture.simulation.set_power(target("a", 1), PowerWish::Running, Shutdown::Graceful).await.unwrap_err();
    assert_eq!(refused.code(), "ZonalAllocationFailed");
    let still = fixture.machine("a").await;
    assert_eq!(still.host, None, "nothing was changed");
}

#[tokio::test]
async fn what_is_not_offered_is_refused_with_what_there_is() {
    let fixture = Fixture::new();
    let with = |change: &dyn Fn(&mut scaleset_crds::VirtualMachineModel)| {
        let mut wanted = model();
        change(&mut wanted);
        request_of("x", wanted)
    };
    let elsewhere = |change: &dyn Fn(&mut Placement)| {
        let mut wanted = request("x");
        change(&mut wanted.placement);
        wanted
    };
    let table = [
        (
            with(&|model| "Tiny".clone_into(&mut model.vm_size)),
            "SkuNotAvailable: size Tiny is not offered in testland zone 1, there are: Gpu, Huge, Large, Medium, Small",
        ),
        (
            with(&|model| "Rare".clone_into(&mut model.vm_size)),
            "SkuNotAvailable: size Rare is not offered in testland zone 1, there are: Gpu, Huge, Large, Medium, Small",
        ),
        (
            with(&|model| model.storage_profile.image_reference.sku = Some("18".to_owned())),
            "ImageNotFound: image Canonical:ubuntu-server:18 is not known, there are: Canonical:ubuntu-server:22_04-lts, golden",
        ),
        (
            with(&|model| model.storage_profile.image_reference = image("9")),
            "ImageNotFound: image Canonical:ubuntu-server:22_04-lts has no version 9, there are: 22.04.1, 22.04.2",
        ),
        (
            with(&|model| model.network_profile.network_interfaces = vec![interface("nic01", "dmz")]),
            "SubnetNotFound: testland has no subnet dmz for interface nic01, there are: default, tiny",
        ),
        (
            with(&|model| model.network_profile.network_interfaces[0].network_security_group = Some("db".to_owned())),
            "InvalidParameter: testland has no network security group db for interface nic01, there are: web",
        ),
        (
            elsewhere(&|placement| placement.zone = Some("3".to_owned())),
            "InvalidParameter: testland has no zone 3, there are: 1, 2",
        ),
        (
            elsewhere(&|placement| placement.platform_fault_domain = Some(2)),
            "InvalidParameter: platformFaultDomain 2 is out of range in testland: 0 to 1",
        ),
        (
            elsewhere(&|placement| placement.update_domain = Some(5)),
            "InvalidParameter: updateDomain 5 is out of range: 0 to 4",
        ),
        (
            elsewhere(&|placement| "moon".clone_into(&mut placement.location)),
            "InvalidParameter: location moon is not known, there are: plainland, testland",
        ),
    ];
    for (request, expected) in table {
        assert_eq!(refusal(fixture.simulation.create(request).await), expected);
    }
    assert!(fixture.simulation.observe_all().await.unwrap().machines.is_empty(), "nothing was half done");
}

#[tokio::test]
async fn a_full_subnet_is_no_capacity_and_its_addresses_come_back() {
    let fixture = Fixture::new();
    let mut wanted = model();
    wanted.network_profile.network_interfaces = vec![interface("nic01", "tiny"), interface("nic02", "default")];
    let mut addresses = Vec::new();
    for number in 0..3 {
        let machine = fixture.simulation.create(request_of(&format!("m{number}"), wanted.clone())).await.unwrap();
        addresses.push(machine.private_ip_address.unwrap());
    }
    assert_eq!(addresses, ["10.0.1.4", "10.0.1.5", "10.0.1.6"]);
    let refused = fixture.simulation.create(request_of("more", wanted.clone())).await;
    assert_eq!(
        refusal(refused),
        "SubnetIsFull: subnet tiny with prefix 10.0.1.0/29 has 0 of 3 addresses free, 1 are needed"
    );
    fixture.simulation.delete(target("m1", 1), Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let machine = fixture.simulation.create(request_of("more", wanted)).await.unwrap();
    assert_eq!(machine.private_ip_address.as_deref(), Some("10.0.1.5"));
}

#[tokio::test]
async fn a_size_that_the_host_cannot_hold_is_taken_after_deallocation() {
    let fixture = Fixture::new();
    for (uid, size) in [("a", "Small"), ("b", "Medium"), ("c", "Small")] {
        fixture.running_as(sized(uid, size, Some("1"), Some(0))).await;
    }
    let before = fixture.machine("a").await;
    assert_eq!(before.sizes_after_deallocation, ["Gpu", "Large", "Medium"], "Small fits here, Huge nowhere");
    let update = |size: &str, generation| {
        let mut wanted = model();
        size.clone_into(&mut wanted.vm_size);
        let wanted = std::sync::Arc::new(wanted);
        fixture.simulation.update(target("a", generation), "revision-2", wanted, UpdateMethod::Restart)
    };
    assert_eq!(
        refusal(update("Large", 1).await),
        "ZonalAllocationFailed: host testland-z1-fd0-general-00 has 2 vcpus free beside the machine and cannot hold Large; \
         deallocate the machine first, another host has room"
    );
    assert_eq!(fixture.machine("a").await, before, "nothing was changed");

    fixture.simulation.set_power(target("a", 1), PowerWish::Deallocated, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    assert!(fixture.machine("a").await.sizes_after_deallocation.is_empty());
    update("Large", 1).await.unwrap();
    fixture.finish();
    fixture.simulation.set_power(target("a", 1), PowerWish::Running, Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let moved = fixture.machine("a").await;
    assert_eq!((moved.host.as_deref(), moved.power), (Some("testland-z1-fd0-general-01"), PowerState::Running));

    // A size that would exceed the quota is not worth a deallocation.
    let fixture = Fixture::with(&REGION.replace("families: {standardB: 24}", "families: {standardB: 0}"));
    for uid in ["a", "b"] {
        fixture.running_as(sized(uid, "Medium", Some("1"), Some(0))).await;
    }
    assert_eq!(fixture.machine("a").await.sizes_after_deallocation, ["Gpu"]);
}

#[tokio::test]
async fn a_change_of_size_moves_the_machine_only_as_far_as_it_must() {
    let fixture = Fixture::new();
    let before = fixture.running_as(request_in("a", Some("1"), Some(0))).await;
    let mut wanted = model();
    "Medium".clone_into(&mut wanted.vm_size);
    let update = |wanted: scaleset_crds::VirtualMachineModel, method| {
        fixture.simulation.update(target("a", 1), "revision-2", std::sync::Arc::new(wanted), method)
    };
    update(wanted.clone(), UpdateMethod::Restart).await.unwrap();
    fixture.finish();
    let grown = fixture.machine("a").await;
    assert_eq!((grown.host, grown.model.vm_size.as_str()), (before.host, "Medium"));

    for uid in ["b", "c", "d"] {
        fixture.simulation.create(sized(uid, "Medium", Some("1"), Some(0))).await.unwrap();
    }
    fixture.finish();
    "Large".clone_into(&mut wanted.vm_size);
    let refused = update(wanted, UpdateMethod::Restart).await.unwrap_err();
    assert_eq!(refused.code(), "ZonalAllocationFailed", "{refused}");
    assert_eq!(fixture.machine("a").await.model.vm_size, "Medium");
}

#[tokio::test]
async fn a_region_without_zones_takes_regional_machines_only() {
    let fixture = Fixture::new();
    let mut wanted = request("a");
    "plainland".clone_into(&mut wanted.placement.location);
    let refused = refusal(fixture.simulation.create(wanted.clone()).await);
    assert_eq!(refused, "InvalidParameter: plainland has no zone 1, there are: none");
    wanted.placement.zone = None;
    wanted.placement.platform_fault_domain = Some(2);
    let machine = fixture.simulation.create(wanted).await.unwrap();
    assert_eq!(machine.host.as_deref(), Some("plainland-fd2-general-00"));
}

#[tokio::test]
async fn the_highest_instance_number_of_a_set_is_remembered_for_ever() {
    let fixture = Fixture::new();
    for number in [3, 7, 5] {
        let mut wanted = request(&format!("m{number}"));
        wanted.owner = Owner { instance_number: Some(number), ..wanted.owner };
        fixture.simulation.create(wanted).await.unwrap();
    }
    fixture.simulation.delete(target("m7", 1), Shutdown::Graceful).await.unwrap();
    fixture.finish();
    let inventory = fixture.simulation.observe_all().await.unwrap();
    assert_eq!(inventory.highest_instance_numbers["set"], 7);
    assert_eq!(inventory.machines.keys().collect::<Vec<_>>(), ["m3", "m5"]);
}

#[tokio::test]
async fn headroom_tells_how_many_more_fit_and_no_more_do() {
    let fixture = Fixture::new();
    fixture.simulation.create(sized("m0", "Medium", Some("1"), Some(0))).await.unwrap();
    let headroom =
        fixture.simulation.headroom("testland", "Medium", Priority::Regular).await.unwrap().expect("it is offered");
    assert_eq!(headroom.vcpus, 4);
    assert_eq!(headroom.quotas, [Quota { name: "regional total".to_owned(), limit: 200, usage: 4 }]);
    assert_eq!(headroom.free_addresses, [("default".to_owned(), 250), ("tiny".to_owned(), 3)]);
    let here = headroom.places.iter().find(|room| room.zone.as_deref() == Some("1") && room.fault_domain == 0);
    assert_eq!(here.map(|room| room.machines), Some(3), "two hosts of two, one of which is taken: {headroom:?}");
    for number in 1..=3 {
        fixture.simulation.create(sized(&format!("m{number}"), "Medium", Some("1"), Some(0))).await.unwrap();
    }
    let refused = fixture.simulation.create(sized("m4", "Medium", Some("1"), Some(0))).await.unwrap_err();
    assert_eq!(refused.code(), "ZonalAllocationFailed", "{refused}");
}

#[tokio::test]
async fn headroom_knows_quotas_by_family_dedicated_hosts_and_hosts_that_are_down() {
    let fixture = Fixture::new();
    fixture.simulation.create(sized("m0", "Large", None, None)).await.unwrap();
    let of = |size: &'static str| {
        let simulation = fixture.simulation.clone();
        async move { simulation.headroom("testland", size, Priority::Regular).await.unwrap() }
    };
    let quotas = of("Large").await.expect("it is offered").quotas;
    let numbers: Vec<(&str, i64, i64)> =
        quotas.iter().map(|quota| (quota.name.as_str(), quota.limit, quota.usage)).collect();
    assert_eq!(numbers, [("standardB", 24, 8), ("regional total", 200, 8)]);
    let rooms = |headroom: Option<Headroom>| -> i64 {
        headroom.expect("it is offered").places.iter().map(|room| room.machines).sum()
    };
    assert_eq!(rooms(of("Gpu").await), 32, "one host of eight in each of four domains");
    assert_eq!(of("None").await, None);
    assert_eq!(fixture.simulation.headroom("nowhere", "Gpu", Priority::Regular).await.unwrap(), None);
    let half = Outage { location: "testland".to_owned(), zone: Some("1".to_owned()), fault_domain: None, host: None };
    fixture.simulation.set_outage("half", half).await.unwrap();
    assert_eq!(rooms(of("Gpu").await), 16);
}
