//! The breaker: where most members of one zone, size and image are down, something is wrong that no repair of a VM mends.
//! One repair at a time then probes whether it helps; the others there wait behind it, and elsewhere repairs go on. It closes
//! by itself, as soon as no more than half are down.

use std::collections::BTreeMap;

use scaleset_crds::condition::Reason;

use super::Standings;
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
    under_repair: Vec<String>,
}

/// Members by what they have in common.
pub(super) struct Breaker<'pass> {
    snapshot: &'pass ScaleSetSnapshot,
    groups: BTreeMap<Group, Tally>,
}

impl<'pass> Breaker<'pass> {
    pub(super) fn of(snapshot: &'pass ScaleSetSnapshot, standings: &Standings<'_>) -> Self {
        let mut groups: BTreeMap<Group, Tally> = BTreeMap::new();
        let to_run = standings.iter().filter(|(member, _)| !member.is_stopped_by_wish());
        for (member, standing) in to_run {
            let tally = groups.entry(group(snapshot, member)).or_default();
            tally.members += 1;
            tally.down += usize::from(member.availability() != Availability::Available);
            if *standing == Standing::UnderWay {
                tally.under_repair.push(member.name.clone());
            }
        }
        Self { snapshot, groups }
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
        self.tally(member).is_some_and(|tally| tally.is_open() && !tally.under_repair.is_empty())
    }

    pub(super) fn begin(&mut self, member: &Member) {
        let tally = self.groups.entry(group(self.snapshot, member)).or_default();
        tally.under_repair.push(member.name.clone());
    }

    /// Why those `behind` a probe wait.
    pub(super) fn hold(&self, behind: &[&Member]) -> Option<Hold> {
        let mut waiting: BTreeMap<Group, Vec<&str>> = BTreeMap::new();
        for member in behind {
            waiting.entry(group(self.snapshot, member)).or_default().push(&member.name);
        }
        let told: Vec<String> = waiting
            .iter()
            .filter_map(|(group, names)| {
                let Tally { members, down, under_repair } = self.groups.get(group)?;
                let probes: Vec<&str> = under_repair.iter().map(String::as_str).collect();
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

fn group(snapshot: &ScaleSetSnapshot, member: &Member) -> Group {
    let follows = |name: &String| snapshot.revisions.iter().find(|revision| revision.name == *name);
    let profile = member.report.running_revision.as_ref().and_then(follows).map(|revision| &revision.profile);
    let zone = member.zone.as_ref().map_or_else(String::new, |zone| format!("zone {zone}"));
    let size = profile.map(|profile| profile.vm_size.clone()).or_else(|| member.vm_size.clone());
    let family = profile.map(|profile| profile.storage_profile.image_reference.family()).unwrap_or_default();
    let version = member.report.os_disk.as_ref().map(|disk| disk.version.clone()).unwrap_or_default();
    [zone, size.unwrap_or_default(), format!("{family} {version}").trim().to_owned()]
}
