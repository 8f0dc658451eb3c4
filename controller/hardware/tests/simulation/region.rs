//! Region files: what is refused, and how it is said.

use scaleset_hardware::Hardware;
use scaleset_hardware::sim::{RegionFile, Simulation, VirtualClock};

use crate::fixture::{REGION, request};

/// Puts each bad text in the place of a good one and compares how the error begins.
fn each_is_refused(table: &[(&str, &str, &str)]) {
    for (good, bad, expected) in table {
        assert!(REGION.contains(good), "{good} is not in the test's region file");
        let error = RegionFile::parse("test.yaml", &REGION.replacen(good, bad, 1)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{bad}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_text_of_another_shape_is_refused_with_line_column_and_field() {
    each_is_refused(&[
        (
            "seed: 7",
            "sede: 7",
            "region file test.yaml, line 1, column 1, sede: unknown field `sede`, expected one of seed, latencies, sizes, images, regions, applications, loads; docs/hardware.md lists the fields",
        ),
        (
            "vcpus: 32",
            "vcpus: many",
            "region file test.yaml, line 18, column 42, sizes[3].vcpus: invalid i32; docs/hardware.md lists the fields",
        ),
        (
            "seed: 7",
            "seed: [",
            "region file test.yaml, line 1, column 7, seed: expected string scalar; docs/hardware.md lists the fields",
        ),
        ("addressPrefix: 10.0.1.0/29", "addressPrefix: 10.0.1.1/29", "region file test.yaml, line "),
    ]);
    let missing = RegionFile::read(std::path::Path::new("/nowhere/region.yaml")).unwrap_err().to_string();
    assert_eq!(
        missing,
        "region file /nowhere/region.yaml cannot be read: No such file or directory (os error 2); name a readable file"
    );
}

#[test]
fn a_value_that_makes_no_sense_is_refused_with_its_field_and_the_mend() {
    each_is_refused(&[
        (
            "distribution: constant, seconds: 25",
            "distribution: constant, seconds: -1",
            "region file test.yaml, latencies.start: -1 to -1 seconds are out of range; give seconds from 0 to 86400 and a sigma from 0 to 2",
        ),
        ("name: Medium", "name: Small", "region file test.yaml, sizes: Small stands there twice; keep one of them"),
        ("vcpus: 32", "vcpus: 0", "region file test.yaml, sizes[Huge].vcpus: is 0; give at least 1"),
        (
            "reservationFaultDomainCount: 5",
            "reservationFaultDomainCount: 6",
            "region file test.yaml, sizes[Large].reservationFaultDomainCount: is 6; give 1 to 5, or leave it out where the size cannot be reserved",
        ),
        (
            "versions: [22.04.1, 22.04.2]",
            "versions: []",
            "region file test.yaml, images[Canonical:ubuntu-server:22_04-lts].versions: is empty; give at least one",
        ),
        (
            "id: golden,",
            "id: golden, sku: x,",
            "region file test.yaml, images[golden]: is not named in one way; give publisher, offer and sku, or id alone",
        ),
        (
            "faultDomainCount: 2",
            "faultDomainCount: 0",
            "region file test.yaml, regions[testland].faultDomainCount: is 0; give 1 to 20",
        ),
        (
            "count: 2, vcpus: 8",
            "count: 9999, vcpus: 8",
            "region file test.yaml, regions[testland].hosts: makes 40000 hosts; keep to 10000",
        ),
        (
            "families: [standardGpu]",
            "families: [standardX]",
            "region file test.yaml, regions[testland].hosts[gpu].families: no size has the family standardX; name families of the sizes of this file",
        ),
        (
            "size: Rare, zones: [\"2\"]",
            "size: Rare, zones: [\"3\"]",
            "region file test.yaml, regions[testland].restrictions[Rare]: names a zone that the region does not have; name zones of this region",
        ),
        (
            "addressPrefix: 10.0.1.0/29",
            "addressPrefix: 10.0.1.0/30",
            "region file test.yaml, regions[testland].subnets[tiny]: 10.0.1.0/30 has a prefix of 30 bits; give 12 to 29 bits",
        ),
        (
            "subnet: default, probe",
            "subnet: dmz, probe",
            "region file test.yaml, regions[testland].loadBalancers[front].subnet: dmz is not a subnet of the region; name one of the region's subnets",
        ),
        (
            "regionalTotal: 200",
            "regionalTotal: 0",
            "region file test.yaml, regions[testland].quotas.regionalTotal: is 0; give at least 1",
        ),
    ]);
}

#[test]
fn a_script_that_makes_no_sense_is_refused_with_its_entry() {
    let table = [
        (
            "{imageVersion: \"1\", answer: Great}",
            "line 59, column 31, applications[1].answer: unknown variant `Great`, expected one of Healthy, Unhealthy, Unknown, Hangs; docs/hardware.md lists the fields",
        ),
        (
            "{imageVersion: \"1\"}",
            "line 59, column 4, applications[1]: missing field `answer`; docs/hardware.md lists the fields",
        ),
        (
            "{version: \"1\", answer: Hangs}",
            "line 59, column 4, applications[1].version: unknown field `version`, expected one of imageFamily, imageVersion, commandContains, answer, afterSeconds; docs/hardware.md lists the fields",
        ),
        (
            "{answer: Hangs, afterSeconds: -1}",
            "line 59, column 33, applications[1].afterSeconds: invalid u32; docs/hardware.md lists the fields",
        ),
        ("{answer: Hangs, afterSeconds: 86401}", "applications[1].afterSeconds: is 86401; give 0 to 86400"),
        (
            "{commandContains: \"\", answer: Hangs}",
            "applications[1].commandContains: is empty; give a text, or leave it out",
        ),
        (
            "{imageFamily: golden:1, answer: Hangs}",
            "applications[1].imageFamily: golden:1 is not one of the images; give publisher:offer:sku, or the id, of an image of this file",
        ),
    ];
    for (rule, expected) in table {
        let text =
            format!("{REGION}applications:\n- {{imageFamily: golden, answer: Unknown, afterSeconds: 9}}\n- {rule}\n");
        let error = RegionFile::parse("test.yaml", &text).unwrap_err().to_string();
        assert_eq!(error, format!("region file test.yaml, {expected}"));
    }
}

#[test]
fn the_script_of_the_documentation_is_a_script() {
    let page = include_str!("../../../../docs/hardware.md");
    let script = page.split("```yaml\napplications:\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let embedded = include_str!("../../src/sim/region.yaml");
    let file = RegionFile::parse("the documentation's", &format!("{embedded}\napplications:\n{script}")).unwrap();
    assert_eq!(file.applications.len(), 4);
}

#[tokio::test]
async fn the_embedded_regions_are_what_the_documentation_says() {
    let simulation = Simulation::in_memory(VirtualClock::default());
    let catalog = simulation.catalog().await.unwrap();
    let zones: Vec<(&str, usize)> =
        catalog.regions.iter().map(|(name, region)| (name.as_str(), region.zones.len())).collect();
    assert_eq!(zones, [("centralindia", 3), ("eastus", 3), ("northcentralus", 0)]);
    let sizes = &catalog.regions["eastus"].sizes;
    for (size, memory_preserving, reservable) in [
        ("Standard_B1s", true, None),
        ("Standard_D2s_v3", true, Some(3)),
        ("Standard_E2s_v5", true, Some(3)),
        ("Standard_F2s_v2", true, Some(3)),
        ("Standard_M128s", false, Some(1)),
        ("Standard_NC6s_v3", false, Some(1)),
    ] {
        assert_eq!(sizes[size].reservation_fault_domain_count, reservable, "{size}");
        assert_eq!(sizes[size].memory_preserving, memory_preserving, "{size}");
    }
    assert_eq!(sizes["Standard_NC24s_v3"].zones, ["1", "2"]);
    assert!(catalog.regions["eastus"].load_balancers.keys().eq(["default"]));
    assert!(!catalog.regions["centralindia"].sizes.contains_key("Standard_M128s"));
}

#[tokio::test]
async fn eastus_has_room_for_three_thousand_small_machines() {
    let file = RegionFile::embedded().without_latency();
    let simulation = Simulation::in_memory_with(file, VirtualClock::default());
    for number in 0..3_000 {
        let mut wanted = request(&format!("m{number}"));
        "eastus".clone_into(&mut wanted.placement.location);
        wanted.placement.zone = Some((number % 3 + 1).to_string());
        wanted.placement.update_domain = None;
        let mut model = crate::fixture::model();
        "Standard_D2s_v3".clone_into(&mut model.vm_size);
        wanted.model = model.into();
        simulation.create(wanted).await.unwrap();
    }
    assert_eq!(simulation.observe_all().await.unwrap().machines.len(), 3_000);
}
