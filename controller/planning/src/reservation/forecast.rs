//! What a set's group covers of it once a plan is carried out.
//!
//! A member counts by the model that it follows then: one that follows another, because the upgrade policy is Manual or has
//! not come to it, does not draw on the group, and is told apart. One that follows no model counts by what it uses.

use std::collections::{BTreeMap, BTreeSet};

use scaleset_crds::VirtualMachineProfile;
use scaleset_crds::vocabulary::PowerWish;

use super::{Coverage, coverage, group_name, group_of};
use crate::plan::{Action, Assignment, ScaleSetPlan};
use crate::snapshot::{Member, ScaleSetSnapshot};

/// What a set's group covers of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Zone by zone.
    pub zones: Vec<Coverage>,
    /// VMs of the set whose model draws on none of these reservations.
    pub apart: usize,
}

impl std::fmt::Display for Forecast {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { zones, apart } = self;
        let zones: Vec<String> = zones.iter().map(ToString::to_string).collect();
        let zones = if zones.is_empty() { "nothing is reserved, no VM is wished".to_owned() } else { zones.join("; ") };
        write!(formatter, "{zones}")?;
        if *apart > 0 {
            write!(formatter, "; {apart} VMs follow another model, and draw on none of these")?;
        }
        Ok(())
    }
}

/// What the set's group covers of it once the plan is carried out, with what the set uses of it before; none where its model
/// names no group that it may use.
pub fn forecast(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, own: &BTreeMap<String, i64>) -> Option<Forecast> {
    let profile = snapshot.set.profile.as_deref()?;
    let group = group_of(snapshot, profile.capacity_reservation_group_ref.as_ref()?)?;
    let followers = Followers::of(snapshot, plan, profile)?;
    let removals = plan.actions.iter().filter_map(Action::removal);
    let gone: BTreeSet<&str> = removals.map(|removal| removal.name.as_str()).collect();
    let members = snapshot.members.iter().filter(|member| member.is_made() && member.is_live());
    let staying = members.filter(|member| !gone.contains(member.name.as_str()));
    let (drawing, others): (Vec<&Member>, Vec<&Member>) = staying.partition(|member| followers.draws(member));
    let (new, new_others): (Vec<_>, Vec<_>) = plan
        .actions
        .iter()
        .filter_map(Action::creation)
        .partition(|new| followers.draw_by(&new.revision) == Some(true));
    let mut wished: BTreeMap<Option<String>, i64> = BTreeMap::new();
    let allocated = drawing.iter().filter(|member| member.power_wish != PowerWish::Deallocated);
    for zone in allocated.map(|member| &member.zone).chain(new.iter().map(|new| &new.zone)) {
        *wished.entry(zone.clone()).or_default() += 1;
    }
    let zones = coverage(group, &profile.vm_size, &wished, own);
    Some(Forecast { zones, apart: others.len() + new_others.len() })
}

/// The same in words: what is reserved, unused and uncovered, zone by zone.
pub fn forecast_told(snapshot: &ScaleSetSnapshot, plan: &ScaleSetPlan, own: &BTreeMap<String, i64>) -> Option<String> {
    let reference = snapshot.set.profile.as_deref()?.capacity_reservation_group_ref.as_ref()?;
    let forecast = forecast(snapshot, plan, own)?;
    Some(format!("capacity reservation group {}: {forecast}", group_name(reference, &snapshot.set.namespace)))
}

/// Which members follow a model that draws on the group.
struct Followers<'pass> {
    /// The newest revision, which may not be kept yet.
    newest: Option<&'pass str>,
    /// Whether VMs that follow a kept revision draw on it.
    kept: BTreeMap<&'pass str, bool>,
    /// Revisions that the plan gives to members, by name.
    given: BTreeMap<&'pass str, &'pass str>,
    /// Name of the group.
    group: String,
}

impl<'pass> Followers<'pass> {
    fn of(
        snapshot: &'pass ScaleSetSnapshot,
        plan: &'pass ScaleSetPlan,
        profile: &VirtualMachineProfile,
    ) -> Option<Self> {
        let namespace = &snapshot.set.namespace;
        let named = |profile: &VirtualMachineProfile| {
            profile.capacity_reservation_group_ref.as_ref().map(|reference| group_name(reference, namespace))
        };
        let group = named(profile)?;
        let draws =
            |other: &VirtualMachineProfile| other.vm_size == profile.vm_size && named(other).as_ref() == Some(&group);
        let kept = snapshot.revisions.iter().map(|kept| (kept.name.as_str(), draws(&kept.profile))).collect();
        let given = plan.actions.iter().filter_map(|action| {
            let Action::AssignRevision(Assignment { name, revision, .. }) = action else { return None };
            Some((name.as_str(), revision.as_str()))
        });
        Some(Self { newest: plan.effective.newest_revision.as_deref(), kept, given: given.collect(), group })
    }

    /// Whether VMs that follow that revision draw on the group; `None` where nobody knows it.
    fn draw_by(&self, revision: &str) -> Option<bool> {
        if self.newest == Some(revision) { Some(true) } else { self.kept.get(revision).copied() }
    }

    fn draws(&self, member: &Member) -> bool {
        let followed = self.given.get(member.name.as_str()).copied().or(member.assigned_revision.as_deref());
        followed
            .and_then(|revision| self.draw_by(revision))
            .unwrap_or_else(|| member.report.reservation.as_ref().is_some_and(|there| there.group == self.group))
    }
}
