//! Which outdated members take the newest model, and how: the policies are siblings.

pub mod automatic;
pub(crate) mod maintenance;
pub mod manual;
pub(crate) mod os_image;
pub mod rolling;

use std::collections::BTreeSet;

use scaleset_crds::condition::Reason;
use scaleset_crds::vocabulary::{Impact, MaxDisruption, ProvisioningState};

use crate::budget::Allowance;
use crate::plan::{Action, Assignment, Hold, OsDiskAssignment, Removal, RemovalCause};
use crate::snapshot::{Member, Observation, OsDiskReport, OsDiskWish, Protection, Revision, RollMark, UpgradeSwitch};
use crate::view::{ViewDiff, diff_models};
use crate::wording::some_names;

/// What a policy decides from.
#[derive(Clone, Debug)]
pub struct UpgradeInput<'pass> {
    /// Members, sorted by name.
    pub members: &'pass [Member],
    /// Every revision that is there.
    pub revisions: &'pass [Revision],
    /// The revision to bring them to.
    pub newest: &'pass Revision,
    /// Whether upgrades are held.
    pub switch: UpgradeSwitch,
    /// The most that an upgrade may cost a VM.
    pub max_disruption: MaxDisruption,
    /// What may be disturbed.
    pub allowance: Allowance,
    /// Uids of members that a person has asked for: the policy leaves them to [`requested`].
    pub requested: &'pass BTreeSet<String>,
}

/// What a policy decides.
#[derive(Clone, Debug, Default)]
pub struct UpgradeDecision {
    /// Assignments, and removals of members whose model needs a new VM.
    pub actions: Vec<Action>,
    /// What is held back.
    pub holds: Vec<Hold>,
}

/// An outdated member and what bringing it up to date costs.
#[derive(Clone, Debug)]
pub struct Outdated<'pass> {
    /// The member.
    pub member: &'pass Member,
    /// What changes.
    pub change: ModelChange,
}

/// What changes for a member that takes the newest model.
#[derive(Clone, Debug)]
pub enum ModelChange {
    /// The revision that it follows is gone: the instance then finds the difference to its hardware itself.
    Unknown,
    /// None: its VM has the newest model still, and has not begun to take the one that it follows, mostly since the hardware
    /// refuses that.
    Back,
    /// These fields; none where only the order of a list differs.
    Known(ViewDiff),
    /// The version of the image behind the same model.
    Image {
        /// Version that its OS disk was made from.
        from: OsDiskReport,
        /// Version that it is to be made from.
        to: String,
    },
}

impl Outdated<'_> {
    /// The dearest difference; [`Impact::None`] where nothing is known to differ.
    pub fn impact(&self) -> Impact {
        match &self.change {
            ModelChange::Unknown | ModelChange::Back => Impact::None,
            ModelChange::Known(diff) => diff.impact(),
            ModelChange::Image { .. } => Impact::Reimage,
        }
    }

    /// Whether it has never had a VM, and nothing is about to make one.
    fn is_unborn(&self) -> bool {
        let report = &self.member.report;
        let never_made = report.running_revision.is_none() && report.healthy_on_revision.is_none();
        never_made && self.member.has_failed() && self.member.protection != Protection::FromSetActions
    }

    /// Lets a member without a VM be made from the newest model.
    fn take_newest(&self, input: &UpgradeInput<'_>) -> Action {
        let Member { kind, name, uid, resource_version, .. } = self.member;
        Action::AssignRevision(Assignment {
            kind: *kind,
            name: name.clone(),
            uid: uid.clone(),
            resource_version: resource_version.clone(),
            revision: input.newest.name.clone(),
            impact: Impact::None,
            roll: None,
            reason: "it has no VM yet".to_owned(),
        })
    }

    /// Whether the VM is known not to notice.
    fn is_harmless(&self) -> bool {
        match &self.change {
            ModelChange::Unknown | ModelChange::Image { .. } => false,
            ModelChange::Back => true,
            ModelChange::Known(diff) => diff.impact() <= Impact::NextReimage,
        }
    }

    /// What about it needs more than `ceiling` allows, field by field. Nobody knows what an unknown change needs.
    fn beyond(&self, ceiling: MaxDisruption) -> Vec<String> {
        match &self.change {
            ModelChange::Back => Vec::new(),
            ModelChange::Unknown if ceiling == MaxDisruption::Replace => Vec::new(),
            ModelChange::Unknown => vec![format!("{} follows no known revision", self.member.name)],
            ModelChange::Image { .. } if ceiling.allows(Impact::Reimage) => Vec::new(),
            ModelChange::Image { to, .. } => vec![format!("OS image {to} ({})", Impact::Reimage.as_str())],
            ModelChange::Known(diff) => {
                let beyond = diff.differences.iter().filter(|difference| !ceiling.allows(difference.impact));
                beyond.map(|difference| format!("{} ({})", difference.path, difference.impact.as_str())).collect()
            }
        }
    }

    /// The action that brings it to the newest model: a removal where that needs a new VM.
    fn bring_to_newest(&self, input: &UpgradeInput<'_>, roll: Option<RollMark>, reason: String) -> Action {
        let member = self.member;
        let (kind, name, uid, resource_version) =
            (member.kind, member.name.clone(), member.uid.clone(), member.resource_version.clone());
        if let (ModelChange::Image { from, to }, Some(roll)) = (&self.change, &roll) {
            let wish = OsDiskWish::Fresh { version: to.clone(), after: from.name.clone() };
            let roll = roll.clone();
            return Action::ReplaceOsDisk(OsDiskAssignment { kind, name, uid, resource_version, wish, roll, reason });
        }
        match self.impact() {
            Impact::Replace => Action::DeleteMember(Removal {
                kind,
                name,
                uid,
                resource_version,
                cause: RemovalCause::Replace,
                reason,
            }),
            impact @ (Impact::None
            | Impact::NextReimage
            | Impact::Online
            | Impact::Restart
            | Impact::Reimage
            | Impact::Immutable) => {
                let revision = input.newest.name.clone();
                Action::AssignRevision(Assignment { kind, name, uid, resource_version, revision, impact, roll, reason })
            }
        }
    }

    fn describe(&self) -> String {
        match &self.change {
            ModelChange::Unknown => "its revision is unknown".to_owned(),
            ModelChange::Back => "its VM has that model still".to_owned(),
            ModelChange::Known(diff) if diff.is_empty() => "only the order of a list differs".to_owned(),
            ModelChange::Known(diff) => diff.to_string(),
            ModelChange::Image { from, to: _ } => format!("it has {}", from.version),
        }
    }
}

impl UpgradeInput<'_> {
    /// Why the allowance may stay spent: members that are not well on the newest model.
    fn broken_on_newest(&self) -> String {
        let follows = |member: &&Member| member.assigned_revision.as_ref() == Some(&self.newest.name);
        let is_broken = |member: &&Member| member.has_failed() || member.report.health.is_unhealthy();
        let live = self.members.iter().filter(|member| member.is_made() && member.is_live());
        let broken: Vec<&str> = live.filter(follows).filter(is_broken).map(|member| member.name.as_str()).collect();
        if broken.is_empty() {
            return String::new();
        }
        format!("; not well on the newest model: {}; if that lasts, change the model", some_names(&broken))
    }
}

/// Made, live members that are assigned another revision than the newest.
pub fn outdated<'pass>(input: &UpgradeInput<'pass>) -> Vec<Outdated<'pass>> {
    input
        .members
        .iter()
        .filter(|member| member.is_made() && member.is_live())
        .filter(|member| member.assigned_revision.as_deref() != Some(input.newest.name.as_str()))
        .filter(|member| !input.requested.contains(&member.uid))
        .map(|member| Outdated { member, change: change_to_newest(input, member) })
        .collect()
}

/// Why none of `waiting` may be started: at least one of them needs more than `spec.upgradePolicy.maxDisruption` allows.
/// The ceiling is judged over all of them, so that a change reaches either every VM or none. One that has no VM yet has
/// nothing to lose. The one rule of every mode and of every upgrade that a person asks for.
pub fn refusal(input: &UpgradeInput<'_>, waiting: &[Outdated<'_>]) -> Option<Hold> {
    let with_vm: Vec<&Outdated<'_>> = waiting.iter().filter(|outdated| !outdated.is_unborn()).collect();
    let beyond: BTreeSet<String> = with_vm.iter().flat_map(|outdated| outdated.beyond(input.max_disruption)).collect();
    if beyond.is_empty() {
        return None;
    }
    let fields: Vec<&str> = beyond.iter().map(String::as_str).collect();
    let (count, ceiling) = (with_vm.len(), input.max_disruption.as_str());
    let message =
        format!("{count} outdated, upgradePolicy.maxDisruption is {ceiling}, this needs more: {}", some_names(&fields));
    Some(Hold { reason: Reason::UpdateRefused, count, message })
}

/// Lets those without a VM be made from the newest model; nothing else of `waiting` is started.
fn only_unborn(input: &UpgradeInput<'_>, waiting: &[Outdated<'_>]) -> Vec<Action> {
    waiting.iter().filter(|outdated| outdated.is_unborn()).map(|outdated| outdated.take_newest(input)).collect()
}

/// Brings the members that a person has asked for to the newest model, all at once, protected or not: a person's own
/// action is not held to the allowance (Azure: "Modify a Virtual Machine Scale Set", update instances).
pub fn requested(input: &UpgradeInput<'_>) -> Vec<Action> {
    let asked_for = input.members.iter().filter(|member| member.is_made() && member.is_live());
    let asked_for = asked_for
        .filter(|member| input.requested.contains(&member.uid))
        .filter(|member| member.assigned_revision.as_deref() != Some(input.newest.name.as_str()));
    asked_for
        .map(|member| {
            let outdated = Outdated { member, change: change_to_newest(input, member) };
            let reason = format!("{}; operation ManualUpgrade", outdated.describe());
            outdated.bring_to_newest(input, None, reason)
        })
        .collect()
}

fn change_to_newest(input: &UpgradeInput<'_>, member: &Member) -> ModelChange {
    if has_still(member, &input.newest.name) {
        return ModelChange::Back;
    }
    let follows = |revision: &&Revision| member.assigned_revision.as_ref() == Some(&revision.name);
    match input.revisions.iter().find(follows) {
        Some(revision) => ModelChange::Known(diff_models(&revision.profile.model(), &input.newest.profile.model())),
        None => ModelChange::Unknown,
    }
}

/// Whether its hardware runs that revision, and nothing is being done to it.
fn has_still(member: &Member, revision: &str) -> bool {
    let report = &member.report;
    let settled = report.observation == Observation::Current && report.provisioning == ProvisioningState::Succeeded;
    settled && report.running_revision.as_deref() == Some(revision)
}
