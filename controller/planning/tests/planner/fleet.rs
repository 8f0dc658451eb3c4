//! Snapshots to plan from: a set, its region and its members, all well unless a test says otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::load_balancing::LoadBalancerSku;
use scaleset_crds::spot::Priority;
use scaleset_crds::vocabulary::{
    MaxDisruption, OrchestrationMode, PowerState, PowerWish, ProvisioningState, ScaleInRule, UpgradeMode,
};
use scaleset_crds::{ScaleSetStatus, VirtualMachineProfile};
use scaleset_planning::audit::audit;
use scaleset_planning::plan::{Action, NewMember, ScaleSetPlan};
use scaleset_planning::revision;
use scaleset_planning::scale_set::plan;
use scaleset_planning::snapshot::{
    Autoscaler, Confirmation, Evicted, FinalizerState, GuestAgent, Looked, Maintenance, Member, MemberKind, MemberLife,
    MemberReport, Observation, Origin, OsDiskReport, OsUpgradePolicy, Overprovision, Pending, Protection, RegionFacts,
    RepairPolicy, RepairUptake, Revision, RollingPolicy, ScaleInGuard, ScaleSetSnapshot, SetFacts, SetLife,
    ShutdownRule, SizeFacts, SpotOffer, UnhealthyRule, UpgradeSwitch, ZoneBalance, ZoneFacts,
};
use scaleset_planning::view::Health;
use serde_json::json;

pub(crate) fn profile(size: &str) -> VirtualMachineProfile {
    serde_json::from_value(json!({
        "vmSize": size,
        "osProfile": {"adminUsername": "azureuser"},
        "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
        "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
    }))
    .expect("the profile is whole")
}

fn region() -> RegionFacts {
    let zones: Vec<String> = ["1", "2", "3"].map(str::to_owned).to_vec();
    let size = |maintenance| SizeFacts { zones: zones.clone(), maintenance, spot: SpotOffer::Offered };
    RegionFacts {
        zones: zones.iter().map(|zone| (zone.clone(), ZoneFacts::Available)).collect(),
        fault_domain_count: 5,
        sizes: [
            ("Standard_D2s_v3".to_owned(), size(Maintenance::MemoryPreserving)),
            ("Standard_D4s_v3".to_owned(), size(Maintenance::MemoryPreserving)),
            ("Standard_M64s".to_owned(), size(Maintenance::NotMemoryPreserving)),
        ]
        .into(),
        images: [("Canonical:ubuntu-server:22_04-lts".to_owned(), vec!["22.04.1".to_owned()])].into(),
        subnets: vec!["default".to_owned()],
        network_security_groups: vec!["web-nsg".to_owned()],
        load_balancers: BTreeMap::from([("web-lb".to_owned(), LoadBalancerSku::Standard)]),
    }
}

/// A Uniform set over `zones` with `replicas` wished, its finalizer on and its revision kept.
pub(crate) fn snapshot(zones: &[&str], replicas: i32) -> ScaleSetSnapshot {
    let profile = Arc::new(profile("Standard_D2s_v3"));
    let newest = revision::name("web", "set-uid", &profile);
    ScaleSetSnapshot {
        now: Timestamp::UNIX_EPOCH,
        wall_now: Timestamp::UNIX_EPOCH,
        set: SetFacts {
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            uid: "set-uid".to_owned(),
            generation: 1,
            life: SetLife::Live,
            finalizer: FinalizerState::Held,
            mode: OrchestrationMode::Uniform,
            location: "eastus".to_owned(),
            zones: zones.iter().map(|zone| (*zone).to_owned()).collect(),
            zone_balance: ZoneBalance::BestEffort,
            platform_fault_domain_count: Some(1),
            single_placement_group: None,
            replicas: Some(replicas),
            overprovision: Overprovision::Off,
            upgrade_mode: UpgradeMode::Automatic,
            upgrades: UpgradeSwitch::On,
            max_disruption: MaxDisruption::Replace,
            rolling_policy: RollingPolicy::default(),
            scale_in_rule: ScaleInRule::Default,
            scale_in_unhealthy: UnhealthyRule::InOrder,
            scale_in_shutdown: ShutdownRule::Graceful,
            os_upgrades: OsUpgradePolicy::default(),
            repairs: RepairPolicy::default(),
            mix: None,
            profile: Some(Arc::clone(&profile)),
        },
        members: Vec::new(),
        leaving: Vec::new(),
        revisions: vec![Revision {
            name: newest,
            uid: "revision-uid".to_owned(),
            resource_version: "1".to_owned(),
            number: 1,
            created: Timestamp::UNIX_EPOCH,
            profile,
        }],
        region: Some(region()),
        headroom: None,
        regular_headroom: None,
        scale_in_guard: ScaleInGuard::On {
            confirmation: Confirmation::Any,
            autoscaler: Autoscaler::None,
            recorded: Vec::new(),
        },
        locations: vec!["eastus".to_owned()],
        highest_hardware_number: None,
        reservation_groups: BTreeMap::new(),
        hardware_silence: None,
        unreadable_revisions: Vec::new(),
        operations: Vec::new(),
        status: ScaleSetStatus::default(),
    }
}

pub(crate) fn newest(snapshot: &ScaleSetSnapshot) -> String {
    revision::name("web", "set-uid", snapshot.set.profile.as_ref().expect("the set has a profile"))
}

/// A member that the set made, running its revision.
pub(crate) fn member(number: i64, zone: Option<&str>, fault_domain: Option<i32>, revision: &str) -> Member {
    Member {
        kind: MemberKind::ScaleSetVM,
        name: format!("web-{number}"),
        uid: format!("uid-{number}"),
        resource_version: "1".to_owned(),
        origin: Origin::Set,
        number: Some(number),
        sequence: Some(number),
        life: MemberLife::Live,
        created: Timestamp::UNIX_EPOCH - Duration::from_hours(1),
        vm_size: None,
        zone: zone.map(str::to_owned),
        fault_domain,
        placement_group: Some("0".to_owned()),
        update_domain: Some(i32::try_from(number % 5).expect("a remainder of 5 fits")),
        surplus: None,
        assigned_revision: Some(revision.to_owned()),
        protection: Protection::None,
        roll: None,
        os_disk_wish: None,
        repair: None,
        shutdown: ShutdownRule::Graceful,
        priority: Priority::Regular,
        power_wish: PowerWish::Running,
        report: MemberReport {
            observation: Observation::Current,
            looked: Looked::SinceStart(Timestamp::MIN),
            provisioning: ProvisioningState::Succeeded,
            power: PowerState::Running,
            agent: GuestAgent::Reports,
            running_revision: Some(revision.to_owned()),
            healthy_on_revision: Some(revision.to_owned()),
            healthy_on_os_disk: Some(format!("web-{number}_disk1_a")),
            pending: Pending::Nothing,
            failure: None,
            health: Health::NoSource,
            extensions: BTreeMap::new(),
            os_disk: Some(OsDiskReport { name: format!("web-{number}_disk1_a"), version: "22.04.1".to_owned() }),
            reservation: None,
            repair: RepairUptake::Done,
            changed_at: None,
            evicted: Evicted::No,
            scheduled_events: Vec::new(),
            pools: Vec::new(),
        },
    }
}

/// Members spread as `counts` by zone say.
pub(crate) fn spread(counts: &[(Option<&str>, usize)], revision: &str) -> Vec<Member> {
    let zones = counts.iter().flat_map(|(zone, count)| std::iter::repeat_n(*zone, *count));
    zones.zip(0..).map(|(zone, number)| member(number, zone, None, revision)).collect()
}

/// Gives the set another profile, which is not a revision yet.
pub(crate) fn change_profile(snapshot: &mut ScaleSetSnapshot, profile: VirtualMachineProfile) {
    snapshot.set.profile = Some(Arc::new(profile));
    snapshot.set.generation += 1;
}

/// Keeps a revision beside the ones that there are.
pub(crate) fn keep_revision(
    snapshot: &mut ScaleSetSnapshot,
    name: &str,
    number: i64,
    profile: &Arc<VirtualMachineProfile>,
) {
    let (name, profile) = (name.to_owned(), Arc::clone(profile));
    let revision = Revision { name, number, profile, ..snapshot.revisions[0].clone() };
    snapshot.revisions.push(revision);
}

/// Plans, and fails where the audit finds anything.
pub(crate) fn audited(snapshot: &ScaleSetSnapshot) -> ScaleSetPlan {
    let plan = plan(snapshot);
    assert_eq!(audit(snapshot, &plan), Vec::<String>::new(), "{plan}");
    plan
}

/// Zones of the members that the plan makes.
pub(crate) fn created_by_zone(plan: &ScaleSetPlan) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for member in created(plan) {
        *zones.entry(member.zone.clone().unwrap_or_default()).or_default() += 1;
    }
    zones
}

/// The members that the plan makes.
pub(crate) fn created(plan: &ScaleSetPlan) -> Vec<&NewMember> {
    plan.actions
        .iter()
        .filter_map(|action| if let Action::CreateMember(member) = action { Some(member) } else { None })
        .collect()
}

/// Names of the members that the plan deletes.
pub(crate) fn deleted(plan: &ScaleSetPlan) -> Vec<&str> {
    plan.actions
        .iter()
        .filter_map(
            |action| if let Action::DeleteMember(removal) = action { Some(removal.name.as_str()) } else { None },
        )
        .collect()
}

/// Names of the members that are to follow another revision.
pub(crate) fn assigned(plan: &ScaleSetPlan) -> Vec<&str> {
    plan.actions
        .iter()
        .filter_map(|action| if let Action::AssignRevision(moved) = action { Some(moved.name.as_str()) } else { None })
        .collect()
}
