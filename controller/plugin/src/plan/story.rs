//! The planner, step by step, each of whose steps goes well at once; told as a table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use scaleset_crds::VirtualMachineProfile;
use scaleset_crds::load_balancing::{LoadBalancerSku, drain_timeouts};
use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::vocabulary::{HealthState, Impact, PowerState, PowerWish, ProvisioningState, Surplus, UpgradeMode};
use scaleset_planning::plan::{Action, Assignment, NewMember, OsDiskAssignment, RemovalCause, Repairing, ScaleSetPlan};
use scaleset_planning::snapshot::{
    Evicted, FinalizerState, GuestAgent, Headroom, Looked, Maintenance, Member, MemberLife, MemberReport, NewImages,
    Observation, Origin, OsDiskReport, OsDiskWish, Pending, Protection, RegionFacts, RepairUptake, Revision,
    ScaleSetSnapshot, ShutdownRule, SizeFacts, SpotOffer, ZoneFacts,
};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::view::Health;
use scaleset_planning::{reservation, scale_set};

use super::quota;
use super::region::Sight;
use super::reserved::Groups;
use crate::output::table;

/// More steps than a set of the largest size takes.
const STEPS_MAX: usize = 2_100;
/// What no room is taken for.
const PLENTY: i64 = 1_000_000;

/// Plays the plan to its end and tells it.
pub(super) fn told(mut snapshot: ScaleSetSnapshot, sight: &Sight, groups: &Groups) -> String {
    if let Sight::Nothing(_) = sight {
        snapshot.region = Some(everything_named(&snapshot));
        snapshot.locations = vec![snapshot.set.location.clone()];
        // Which version of an image is the newest is not seen either.
        snapshot.set.os_upgrades.new_images = NewImages::Wait;
    }
    snapshot.headroom = Some(plenty(&snapshot));
    snapshot.regular_headroom.clone_from(&snapshot.headroom);
    let region = match sight {
        Sight::Regions(regions) => regions.get(&snapshot.set.location),
        Sight::Nothing(_) => None,
    };
    let heading = format!(
        "scaleset/{}: {:?}, {} VMs wished, upgrade policy {:?}",
        snapshot.set.name,
        snapshot.set.mode,
        snapshot.set.replicas.or(snapshot.status.target_replicas).unwrap_or(0),
        snapshot.set.upgrade_mode
    );
    arrive(&mut snapshot);
    let before = region.map(|region| quota::usage(&snapshot, region));
    let own = reservation::own_use(&snapshot);
    let (rows, last) = play(&mut snapshot);
    let mut parts = vec![heading];
    if rows.is_empty() {
        parts.push("no VM is made, changed or removed".to_owned());
    } else {
        parts.push(table(&["STEP", "ACTION", "VM", "COSTS", "WHY"], &rows));
    }
    if !last.holds.is_empty() {
        let held = last.holds.iter();
        let rows: Vec<Vec<String>> =
            held.map(|hold| vec![hold.reason.to_string(), hold.count.to_string(), hold.message.clone()]).collect();
        parts.push(table(&["HELD BACK BY", "VMS", "BECAUSE"], &rows));
    }
    parts.extend(groups.unseen().or_else(|| reservation::forecast_told(&snapshot, &last, &own)));
    let quotas =
        region.zip(before).map(|(region, before)| quota::told(&before, &quota::usage(&snapshot, region), region));
    parts.extend(quotas.filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")));
    parts.push(match sight {
        Sight::Regions(_) => "not seen from here: free hosts and addresses; every step is taken to go well".to_owned(),
        Sight::Nothing(why) => format!(
            "not seen from here: what the region offers (sizes, images, zones that are down, quotas; {why}), free hosts and \
             addresses; every step is taken to go well"
        ),
    });
    parts.join("\n\n")
}

/// Room in every place, for as many VMs as a surge may want.
fn plenty(snapshot: &ScaleSetSnapshot) -> Headroom {
    let zones = snapshot.region.iter().flat_map(|region| region.zones.keys().cloned().map(Some)).chain([None]);
    let domains = snapshot.region.as_ref().map_or(1, |region| region.fault_domain_count.max(5));
    let places = zones.flat_map(|zone| (0..domains).map(move |domain| ((zone.clone(), domain), PLENTY)));
    let subnets = snapshot.region.iter().flat_map(|region| region.subnets.iter());
    Headroom {
        vcpus: 0,
        quotas: Vec::new(),
        places: places.collect(),
        free_addresses: subnets.map(|subnet| (subnet.clone(), PLENTY)).collect(),
        above_max_price: None,
    }
}

/// Every step until nothing is left to do, and the plan that found nothing.
fn play(snapshot: &mut ScaleSetSnapshot) -> (Vec<Vec<String>>, ScaleSetPlan) {
    let mut rows = Vec::new();
    let mut step = 0;
    for _ in 0..STEPS_MAX {
        let plan = scale_set::plan(snapshot);
        let told: Vec<[String; 4]> = plan.actions.iter().filter_map(row).collect();
        if !told.is_empty() {
            step += 1;
            let name = step_name(step, snapshot, &plan);
            rows.extend(told.into_iter().map(|row| [vec![name.clone()], row.to_vec()].concat()));
        }
        let moved = !plan.actions.is_empty() || plan.rolling_upgrade != snapshot.status.rolling_upgrade;
        if !moved && plan.wake_after.is_none() {
            return (rows, plan);
        }
        if plan.actions.is_empty() {
            // A pause between batches, or a batch that is judged.
            snapshot.now += plan.wake_after.unwrap_or(Duration::from_secs(1));
        }
        let (is_region_retry, settled) =
            (plan.holds.iter().any(scaleset_planning::plan::Hold::needs_attention), !moved);
        obey(snapshot, &plan);
        if is_region_retry && settled {
            return (rows, plan);
        }
    }
    (rows, scale_set::plan(snapshot))
}

/// In a rolling upgrade a step is a batch.
fn step_name(step: usize, snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan) -> String {
    let replaces = |action: &Action| action.removal().is_some_and(|removal| removal.cause == RemovalCause::Replace);
    let upgrades = plan.actions.iter().any(|action| action.upgraded().is_some() || replaces(action));
    let record: Option<&RollingUpgradeStatus> = plan.rolling_upgrade.as_ref();
    let of_image = record.is_some_and(|record| record.os_upgrade.is_some());
    match record.and_then(|record| record.batch.as_ref()) {
        Some(batch) if upgrades && (snapshot.set.upgrade_mode == UpgradeMode::Rolling || of_image) => {
            format!("{step} (batch {})", batch.number)
        }
        Some(_) | None => step.to_string(),
    }
}

/// Action, VM, cost and reason, where it is about a VM.
fn row(action: &Action) -> Option<[String; 4]> {
    match action {
        Action::CreateMember(member) => {
            let sort = if member.surplus == Some(Surplus::Overprovisioned) { "extra, " } else { "" };
            let place = member.zone.as_ref().map_or_else(String::new, |zone| format!("in zone {zone}: "));
            Some(["create".into(), member.name.clone(), String::new(), format!("{sort}{place}{}", member.reason)])
        }
        Action::AssignRevision(assignment) => {
            let Assignment { name, impact, reason, .. } = assignment;
            Some(["upgrade".into(), name.clone(), impact.as_str().into(), reason.clone()])
        }
        Action::ReplaceOsDisk(assignment) => {
            let OsDiskAssignment { name, wish, reason, .. } = assignment;
            let why = match wish {
                OsDiskWish::Fresh { version, after: _ } => format!("to OS image {version}: {reason}"),
                OsDiskWish::Former { disk } => format!("back to OS disk {disk}: {reason}"),
            };
            Some(["upgrade".into(), name.clone(), Impact::Reimage.as_str().into(), why])
        }
        Action::SeatMember(seating) => {
            Some(["move".into(), seating.name.clone(), String::new(), seating.reason.clone()])
        }
        Action::DeleteMember(removal) => {
            let (verb, cost) = match removal.cause {
                RemovalCause::ScaleIn | RemovalCause::Surplus => ("remove", ""),
                RemovalCause::Replace | RemovalCause::Repair => ("replace", "Replace"),
                RemovalCause::Requested | RemovalCause::Evicted | RemovalCause::SetDeleted => ("delete", ""),
            };
            Some([verb.into(), removal.name.clone(), cost.into(), removal.reason.clone()])
        }
        Action::RepairMember(Repairing { name, mark: Some(mark), reason, .. }) => {
            let cost = mark.action.as_str();
            Some(["repair".into(), name.clone(), cost.into(), reason.clone()])
        }
        Action::AddFinalizer
        | Action::CreateRevision { .. }
        | Action::RenumberRevision { .. }
        | Action::NoteEvictions { .. }
        | Action::ReserveNumbers { .. }
        | Action::RepairMember(_)
        | Action::MarkMember(_)
        | Action::MarkForDeletion(_)
        | Action::KeepMember(_)
        | Action::DeleteRevision { .. }
        | Action::RemoveFinalizer => None,
    }
}

/// The world after the plan has been carried out and everything went well.
fn obey(snapshot: &mut ScaleSetSnapshot, plan: &ScaleSetPlan) {
    let status = scale_set_status(snapshot, plan, &ScaleSetOutcome::default());
    for action in &plan.actions {
        match action {
            Action::AddFinalizer => snapshot.set.finalizer = FinalizerState::Held,
            Action::RemoveFinalizer => snapshot.set.finalizer = FinalizerState::Absent,
            Action::CreateRevision { name, number, profile } => snapshot.revisions.push(Revision {
                name: name.clone(),
                uid: name.clone(),
                resource_version: "0".to_owned(),
                number: *number,
                created: snapshot.wall_now,
                profile: Arc::clone(profile),
            }),
            Action::RenumberRevision { name, number, .. } => {
                for revision in snapshot.revisions.iter_mut().filter(|revision| revision.name == *name) {
                    revision.number = *number;
                }
            }
            Action::DeleteRevision { name, .. } => snapshot.revisions.retain(|revision| revision.name != *name),
            Action::NoteEvictions { names: _ } | Action::ReserveNumbers { next: _ } => {}
            Action::CreateMember(new) => {
                let made = member(snapshot, new);
                snapshot.members.push(made);
            }
            Action::AssignRevision(assignment) => assign(snapshot, assignment),
            Action::ReplaceOsDisk(assignment) => replace_os_disk(snapshot, assignment),
            Action::MarkMember(marking) => {
                for member in snapshot.members.iter_mut().filter(|member| member.name == marking.name) {
                    member.roll = Some(marking.roll.clone());
                }
            }
            Action::RepairMember(repairing) => {
                for member in snapshot.members.iter_mut().filter(|member| member.name == repairing.name) {
                    member.repair.clone_from(&repairing.mark);
                    if repairing.mark.is_some() {
                        member.report.health = Health::Known(HealthState::Healthy);
                    }
                }
            }
            Action::MarkForDeletion(mark) => {
                for member in snapshot.members.iter_mut().filter(|member| member.name == mark.name) {
                    member.shutdown = mark.shutdown;
                }
            }
            Action::KeepMember(keeping) => {
                for member in snapshot.members.iter_mut().filter(|member| member.name == keeping.name) {
                    member.surplus = None;
                }
            }
            Action::SeatMember(seating) => {
                for member in snapshot.members.iter_mut().filter(|member| member.name == seating.name) {
                    member.fault_domain = seating.fault_domain;
                    member.placement_group.clone_from(&seating.placement_group);
                    member.update_domain = seating.update_domain;
                }
            }
            Action::DeleteMember(removal) => snapshot.members.retain(|member| member.name != removal.name),
        }
    }
    snapshot.revisions.sort_by(|one, two| (one.number, &one.name).cmp(&(two.number, &two.name)));
    snapshot.members.sort_by(|one, two| one.name.cmp(&two.name));
    snapshot.status = status;
}

fn assign(snapshot: &mut ScaleSetSnapshot, assignment: &Assignment) {
    let health = health_of(snapshot, &assignment.revision);
    let newest = newest_image(snapshot, &assignment.revision);
    let Some(member) = snapshot.members.iter_mut().find(|member| member.name == assignment.name) else { return };
    member.assigned_revision = Some(assignment.revision.clone());
    member.roll = assignment.roll.clone().or(member.roll.take());
    let kept = member.report.os_disk.take().filter(|_| assignment.impact < Impact::Reimage);
    let disk = kept.or_else(|| newest.map(|version| OsDiskReport { name: format!("{} (new)", member.name), version }));
    member.report = MemberReport { os_disk: disk, ..well(&assignment.revision, health, member.power_wish) };
}

/// What is under way already comes to its end first, and well; what has failed stays as it is.
fn arrive(snapshot: &mut ScaleSetSnapshot) {
    snapshot.members.retain(Member::is_live);
    let mut members = std::mem::take(&mut snapshot.members);
    for member in members.iter_mut().filter(|member| member.is_made() && !member.has_failed()) {
        let Some(revision) = member.assigned_revision.clone() else { continue };
        let under_way = member.report.running_revision.as_ref() != Some(&revision) || !member.is_settled();
        let coming_up = matches!(member.report.health, Health::Missing | Health::Known(HealthState::Initializing));
        if member.report.observation != Observation::Unseen && (under_way || coming_up) && !is_unwell(member) {
            let disk = member.report.os_disk.take();
            let health = health_of(snapshot, &revision);
            member.report = MemberReport { os_disk: disk, ..well(&revision, health, member.power_wish) };
        }
        if let (Some(OsDiskWish::Fresh { version, after }), Some(disk)) =
            (&member.os_disk_wish, &mut member.report.os_disk)
            && disk.name == *after
        {
            *disk = OsDiskReport { name: format!("{} (new)", member.name), version: version.clone() };
        }
    }
    snapshot.members = members;
}

/// Its hardware is done, and its application is not well.
fn is_unwell(member: &Member) -> bool {
    member.report.provisioning == ProvisioningState::Succeeded && member.report.health.is_unhealthy()
}

fn replace_os_disk(snapshot: &mut ScaleSetSnapshot, assignment: &OsDiskAssignment) {
    let Some(member) = snapshot.members.iter_mut().find(|member| member.name == assignment.name) else { return };
    member.roll = Some(assignment.roll.clone());
    member.os_disk_wish = Some(assignment.wish.clone());
    if let OsDiskWish::Fresh { version, after: _ } = &assignment.wish {
        member.report.os_disk = Some(OsDiskReport { name: format!("{} (new)", member.name), version: version.clone() });
    }
}

/// The newest version of the image that a revision names.
fn newest_image(snapshot: &ScaleSetSnapshot, revision: &str) -> Option<String> {
    let kept = snapshot.revisions.iter().find(|kept| kept.name == revision).map(|kept| &kept.profile);
    let image = &kept.or(snapshot.set.profile.as_ref())?.storage_profile.image_reference;
    snapshot.region.as_ref()?.images.get(&image.family())?.last().cloned()
}

fn member(snapshot: &ScaleSetSnapshot, new: &NewMember) -> Member {
    Member {
        kind: new.kind,
        name: new.name.clone(),
        uid: new.name.clone(),
        resource_version: "0".to_owned(),
        origin: Origin::Set,
        number: Some(new.number),
        sequence: Some(new.number),
        life: MemberLife::Live,
        created: snapshot.wall_now,
        vm_size: None,
        zone: new.zone.clone(),
        fault_domain: new.fault_domain,
        placement_group: new.placement_group.clone(),
        update_domain: new.update_domain,
        surplus: new.surplus,
        assigned_revision: Some(new.revision.clone()),
        protection: Protection::None,
        roll: new.roll.clone(),
        os_disk_wish: None,
        repair: new.repair.clone(),
        shutdown: ShutdownRule::Graceful,
        priority: new.priority,
        power_wish: PowerWish::Running,
        report: MemberReport {
            os_disk: newest_image(snapshot, &new.revision)
                .map(|version| OsDiskReport { name: format!("{} (new)", new.name), version }),
            ..well(&new.revision, health_of(snapshot, &new.revision), PowerWish::Running)
        },
    }
}

fn health_of(snapshot: &ScaleSetSnapshot, revision: &str) -> Health {
    let kept = snapshot.revisions.iter().find(|kept| kept.name == revision).map(|kept| &kept.profile);
    let source = kept.or(snapshot.set.profile.as_ref()).and_then(|profile| profile.model().health_source().map(|_| ()));
    source.map_or(Health::NoSource, |()| Health::Known(HealthState::Healthy))
}

fn well(revision: &str, health: Health, wish: PowerWish) -> MemberReport {
    MemberReport {
        observation: Observation::Current,
        looked: Looked::SinceStart(jiff::Timestamp::MIN),
        provisioning: ProvisioningState::Succeeded,
        power: match wish {
            PowerWish::Running => PowerState::Running,
            PowerWish::Stopped => PowerState::Stopped,
            PowerWish::Deallocated => PowerState::Deallocated,
        },
        agent: GuestAgent::Reports,
        running_revision: Some(revision.to_owned()),
        healthy_on_revision: Some(revision.to_owned()),
        healthy_on_os_disk: None,
        pending: Pending::Nothing,
        failure: None,
        extensions: BTreeMap::new(),
        health,
        os_disk: None,
        reservation: None,
        repair: RepairUptake::Done,
        changed_at: None,
        evicted: Evicted::No,
        scheduled_events: Vec::new(),
        pools: Vec::new(),
    }
}

/// A region that offers everything that the set's models name.
fn everything_named(snapshot: &ScaleSetSnapshot) -> RegionFacts {
    let mut facts = RegionFacts {
        zones: snapshot.set.zones.iter().map(|zone| (zone.clone(), ZoneFacts::Available)).collect(),
        fault_domain_count: snapshot.set.platform_fault_domain_count.unwrap_or(1).max(3),
        ..RegionFacts::default()
    };
    let kept = snapshot.revisions.iter().map(|revision| &revision.profile);
    for profile in kept.chain(snapshot.set.profile.iter()) {
        name_all(&mut facts, profile, &snapshot.set.zones);
    }
    facts
}

fn name_all(facts: &mut RegionFacts, profile: &VirtualMachineProfile, zones: &[String]) {
    let size =
        SizeFacts { zones: zones.to_vec(), maintenance: Maintenance::MemoryPreserving, spot: SpotOffer::Offered };
    facts.sizes.insert(profile.vm_size.clone(), size);
    let image = &profile.storage_profile.image_reference;
    facts.images.entry(image.family()).or_default().push(image.requested_version().to_owned());
    for interface in &profile.network_profile.network_interfaces {
        facts.subnets.push(interface.subnet.clone());
        facts.network_security_groups.extend(interface.network_security_group.clone());
    }
    let pools = drain_timeouts(&profile.network_profile.network_interfaces).into_keys();
    let probed = profile.network_profile.health_probe.iter().map(|probe| probe.load_balancer.as_str());
    facts.load_balancers.extend(pools.chain(probed).map(|name| (name.to_owned(), LoadBalancerSku::Standard)));
}
