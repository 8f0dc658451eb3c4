//! The breaker: where most members of one zone, size and image are down, something is wrong that no repair of a VM mends.
//! One repair at a time then probes whether it helps; the others there wait behind it, and elsewhere repairs go on. It closes
//! by itself, as soon as no more than half are down. A probe that does not come up is no way for the next until its
//! grace is over. Then it has failed, and as many as may fail in a row hold the others. One that replaces a VM may be of another
//! model and holds all of its zone, as long as it does not come up or finds no room: each further one would take a VM that runs.

use std::collections::BTreeMap;

use scaleset_crds::condition::Reason;
use scaleset_crds::repairs::RepairAction;

use super::Standings;
use super::candidates::Candidate;
use super::grace;
use super::standing::Standing;
use crate::plan::Hold;
use crate::snapshot::{Availability, Member, ScaleSetSnapshot};
use crate::wording::some_names;

/// So few may be down for reasons of their own.
const DOWN_MIN: usize = 2;

/// Zone, size, image and its version.
type Group = [String; 3];

#[derive(Clone, Debug, Default)]
struct Tally {
    members: usize,
    down: usize,
    /// Probes that stay what they are.
    under_repair: Vec<String>,
    /// Probes that did not come up within their grace.
    failed: Vec<String>,
}

/// Members by what they have in common.
pub(super) struct Breaker<'pass> {
    snapshot: &'pass ScaleSetSnapshot,
    groups: BTreeMap<Group, Tally>,
    /// By zone, members that were made in the place of others and are not well yet, and those that are about to be replaced.
    replacing: BTreeMap<Option<String>, Vec<String>>,
}

impl<'pass> Breaker<'pass> {
    pub(super) fn of(snapshot: &'pass ScaleSetSnapshot, standings: &Standings<'_>) -> Self {
        let is_over = |member: &Member| grace::is_over_of_repair(member, &snapshot.set.repairs, snapshot.now);
        let mut breaker = Self { snapshot, groups: BTreeMap::new(), replacing: BTreeMap::new() };
        let to_run = standings.iter().filter(|(member, _)| !member.is_stopped_by_wish());
        for (member, standing) in to_run {
            let tally = breaker.groups.entry(group(snapshot, member)).or_default();
            tally.members += 1;
            tally.down += usize::from(member.availability() != Availability::Available);
            let replaces = member.repair.as_ref().is_some_and(|mark| mark.replaces.is_some());
            match standing {
                Standing::UnderWay | Standing::Stuck if replaces => {
                    breaker.replacing.entry(member.zone.clone()).or_default().push(member.name.clone());
                }
                Standing::Stuck if is_over(member) => tally.failed.push(member.name.clone()),
                Standing::UnderWay | Standing::Stuck => tally.under_repair.push(member.name.clone()),
                Standing::Untouched | Standing::OnTrial | Standing::Mended | Standing::Failed | Standing::Resting => {}
            }
        }
        breaker
    }

    fn tally(&self, member: &Member) -> Option<&Tally> {
        self.groups.get(&group(self.snapshot, member))
    }

    /// Whether most of a member's like are down.
    pub(super) fn is_open(&self, member: &Member) -> bool {
        self.tally(member).is_some_and(Tally::is_open)
    }

    /// Whether a member waits behind the probe.
    pub(super) fn holds(&self, member: &Member) -> bool {
        let replacing = self.replacing.get(&member.zone).is_some_and(|names| !names.is_empty());
        self.tally(member).is_some_and(|tally| tally.is_open() && (replacing || !self.probes(tally).is_empty()))
    }

    /// The probes of those in a tally: who is under repair, and those that did not come up, where they are as many as may fail in a row.
    fn probes<'tally>(&self, tally: &'tally Tally) -> Vec<&'tally str> {
        let most = usize::try_from(self.snapshot.set.repairs.failures_max).unwrap_or(1);
        let failed: &[String] = if tally.failed.len() >= most { &tally.failed } else { &[] };
        tally.under_repair.iter().chain(failed).map(String::as_str).collect()
    }

    pub(super) fn begin(&mut self, candidate: &Candidate<'_>) {
        let member = candidate.member;
        let names = match candidate.action {
            RepairAction::Replace => self.replacing.entry(member.zone.clone()).or_default(),
            RepairAction::Restart | RepairAction::Reimage => {
                &mut self.groups.entry(group(self.snapshot, member)).or_default().under_repair
            }
        };
        names.push(member.name.clone());
    }

    /// Why those `behind` a probe wait.
    pub(super) fn hold(&self, behind: &[&Member]) -> Option<Hold> {
        let mut waiting: BTreeMap<(&Option<String>, Group), Vec<&str>> = BTreeMap::new();
        for member in behind {
            waiting.entry((&member.zone, group(self.snapshot, member))).or_default().push(&member.name);
        }
        let told: Vec<String> = waiting
            .iter()
            .filter_map(|((zone, group), names)| {
                let tally = self.groups.get(group)?;
                let Tally { members, down, under_repair: _, failed: _ } = tally;
                let replacing = self.replacing.get(*zone).map(Vec::as_slice).unwrap_or_default();
                let probes: Vec<&str> =
                    self.probes(tally).into_iter().chain(replacing.iter().map(String::as_str)).collect();
                let group: Vec<&str> = group.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
                Some(format!(
                    "{down} of {members} down ({}), {} wait behind the repair of {}: {}",
                    group.join(", "),
                    names.len(),
                    some_names(&probes),
                    some_names(names)
                ))
            })
            .collect();
        (!told.is_empty()).then(|| Hold {
            reason: Reason::RepairBreakerOpen,
            count: behind.len(),
            message: told.join("; "),
        })
    }
}

impl Tally {
    const fn is_open(&self) -> bool {
        self.down >= DOWN_MIN && self.down * 2 > self.members
    }
}

/// What a member has in common with others; a repair's new one without hardware has the model that it is to follow.
fn group(snapshot: &ScaleSetSnapshot, member: &Member) -> Group {
    let follows = |name: &String| snapshot.revisions.iter().find(|revision| revision.name == *name);
    let to_follow = member.assigned_revision.as_ref().filter(|_| member.repair.is_some());
    let model = member.report.running_revision.as_ref().or(to_follow);
    let profile = model.and_then(follows).map(|revision| &revision.profile);
    let zone = member.zone.as_ref().map_or_else(String::new, |zone| format!("zone {zone}"));
    let size = profile.map(|profile| profile.vm_size.clone()).or_else(|| member.vm_size.clone());
    let family = profile.map(|profile| profile.storage_profile.image_reference.family()).unwrap_or_default();
    let version = disk_version(member).or_else(|| model.and_then(|model| version_of_like(snapshot, member, model)));
    [zone, size.unwrap_or_default(), format!("{family} {}", version.unwrap_or_default()).trim().to_owned()]
}

fn disk_version(member: &Member) -> Option<&str> {
    member.report.os_disk.as_ref().map(|disk| disk.version.as_str())
}

/// The version of the image that the first of its zone has that runs the same model, for one that a repair has made and that has no
/// disk yet.
fn version_of_like<'pass>(snapshot: &'pass ScaleSetSnapshot, member: &Member, model: &str) -> Option<&'pass str> {
    member.repair.as_ref()?;
    let is_like =
        |other: &&Member| other.zone == member.zone && other.report.running_revision.as_deref() == Some(model);
    snapshot.members.iter().filter(is_like).find_map(disk_version)
}
