//! The race of a scale-out that made more members than were asked for: who stays, who goes, zone by zone.
//!
//! Deletions come before the marks of those that stay, and those only after them: whoever is counted too early would be
//! scaled in again. A pass that dies in between leaves members that go, whose places the next pass gives away.

use std::collections::{BTreeMap, BTreeSet};

use scaleset_crds::condition::Reason;

use super::{hold, leaving, remove, surge_of};
use crate::overprovision::{ZoneOutcome, ZoneRace, has_come_up, may_lose};
use crate::placement;
use crate::plan::{Action, Keeping, RemovalCause, ScaleSetPlan};
use crate::snapshot::{Member, Overprovision, Protection, ScaleSetSnapshot};

/// Members that were extras and stay, after the plan.
pub(super) fn kept_extras(plan: &ScaleSetPlan, extras: &[Member]) -> usize {
    let kept = |action: &&Action| matches!(action, Action::KeepMember(keeping) if extras.iter().any(|extra| extra.uid == keeping.uid));
    plan.actions.iter().filter(kept).count()
}

/// Settles what can be settled. `snapshot` is without the `extras`.
pub(super) fn settle(snapshot: &ScaleSetSnapshot, extras: &[Member], plan: &mut ScaleSetPlan) {
    let undecided = snapshot.members.iter().any(Member::is_undecided);
    if (extras.is_empty() && !undecided) || placement::outage(snapshot).is_some() {
        return;
    }
    let (races, why) = races(snapshot, extras, plan);
    let mut deletions = Vec::new();
    let mut keeps = Vec::new();
    for (zone, race) in races {
        let ZoneOutcome { kept, losers, surplus } = race.outcome();
        let (protected, going): (Vec<&Member>, Vec<&Member>) =
            surplus.into_iter().partition(|extra| extra.protection != Protection::None);
        if !protected.is_empty() {
            let message = format!("{} extras of a scale-out stay for now, protected from scale-in", protected.len());
            hold(plan, Reason::Protected, protected.len(), &message);
        }
        let racing = extras.iter().filter(|extra| extra.is_live() && extra.zone == zone);
        let racing = racing.filter(|extra| !kept.iter().chain(&going).any(|other| other.uid == extra.uid)).count();
        let lost = |member: &Member| losers.iter().any(|loser| loser.uid == member.uid);
        let decided = snapshot.members.iter().filter(|member| member.zone == zone && member.is_undecided());
        let decided = decided.filter(|member| member.is_live() && !lost(member));
        let decided = decided.filter(|member| racing == 0 || has_come_up(member) || !why.race_is_on());
        keeps.extend(decided.map(|member| keep(member, "it stays, its extensions run")));
        keeps.extend(kept.iter().map(|extra| keep(extra, "it came up before others of its zone")));
        deletions.extend(losers.iter().map(|member| (*member, "others of its zone came up before it".to_owned())));
        deletions.extend(going.iter().map(|extra| (*extra, why.of(extra))));
    }
    plan.actions.extend(deletions.into_iter().map(|(member, why)| remove(member, RemovalCause::Surplus, why)));
    plan.actions.extend(keeps);
}

/// Whether extras race, or why they are all of no use.
#[derive(Clone, Copy)]
enum Use {
    Race,
    SwitchedOff,
    MoreThanTarget,
}

impl Use {
    const fn race_is_on(self) -> bool {
        match self {
            Self::Race | Self::MoreThanTarget => true,
            Self::SwitchedOff => false,
        }
    }

    fn of(self, extra: &Member) -> String {
        let failure = extra.report.failure.as_ref().filter(|_| extra.has_failed());
        match (self, failure) {
            (_, Some(failure)) => format!("more than was asked for, and failed: {}", failure.reason),
            (Self::Race, None) => "more than was asked for, its zone has what it needs".to_owned(),
            (Self::SwitchedOff, None) => "more than was asked for, overprovision is false".to_owned(),
            (Self::MoreThanTarget, None) => "more than was asked for, the set is to shrink".to_owned(),
        }
    }
}

type Races<'member> = BTreeMap<Option<String>, ZoneRace<'member>>;

/// Who races for what in each zone that has extras or members that wait for the end.
fn races<'member>(
    snapshot: &'member ScaleSetSnapshot,
    extras: &'member [Member],
    plan: &ScaleSetPlan,
) -> (Races<'member>, Use) {
    let gone = leaving(plan);
    let touched: BTreeSet<&str> = plan.actions.iter().filter_map(Action::member).collect();
    let made = || snapshot.members.iter().filter(|member| member.is_made());
    let staying: Vec<Member> =
        made().filter(|member| member.is_live() && !gone.contains(&member.name)).cloned().collect();
    // A pair of a surge has one place, and nobody of it races: its old one goes when its new one is well.
    let surge = surge_of(snapshot, plan, &staying);
    let paired: BTreeSet<&str> = surge.pairs.iter().map(|pair| pair.old.name.as_str()).collect();
    let staying = staying.len() - surge.pairs.len();
    let target = usize::try_from(plan.effective.target).unwrap_or(0);
    let mut races = Races::new();
    for member in snapshot.members.iter().filter(|member| member.is_undecided()) {
        races.entry(member.zone.clone()).or_default();
    }
    for extra in extras.iter().filter(|extra| extra.is_live()) {
        races.entry(extra.zone.clone()).or_default().extras.push(extra);
    }
    let rule = snapshot.set.overprovision;
    if rule == Overprovision::Off || staying > target {
        let why = if rule == Overprovision::Off { Use::SwitchedOff } else { Use::MoreThanTarget };
        return (races, why);
    }
    let busy = |member: &Member| touched.contains(member.name.as_str()) || paired.contains(member.name.as_str());
    let mut missing = target - staying;
    for (zone, race) in &mut races {
        let here = || made().filter(|member| member.zone == *zone);
        race.pending = here().filter(|member| may_lose(member, rule) && !busy(member)).collect();
        let leaves = |member: &&Member| !member.is_live() || gone.contains(&member.name);
        race.vacant = here().filter(leaves).count().min(missing);
        missing -= race.vacant;
    }
    (races, Use::Race)
}

fn keep(member: &Member, reason: &str) -> Action {
    Action::KeepMember(Keeping {
        kind: member.kind,
        name: member.name.clone(),
        uid: member.uid.clone(),
        resource_version: member.resource_version.clone(),
        reason: reason.to_owned(),
    })
}
