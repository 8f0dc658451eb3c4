//! Which outdated members take the newest model, and how: the policies are siblings.

pub mod automatic;
pub mod manual;
pub mod rolling;

use scaleset_crds::vocabulary::Impact;

use crate::budget::Allowance;
use crate::plan::{Action, Hold};
use crate::snapshot::{Member, Revision, UpgradeSwitch};
use crate::view::{ViewDiff, diff_models};

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
    /// What may be disturbed.
    pub allowance: Allowance,
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
    pub diff: ViewDiff,
}

impl Outdated<'_> {
    /// The dearest difference; [`Impact::None`] where the revision that the member follows is gone: the instance then
    /// finds the difference to its hardware itself.
    pub fn impact(&self) -> Impact {
        self.diff.impact()
    }

    fn describe(&self) -> String {
        if self.diff.is_empty() { "its revision is unknown".to_owned() } else { self.diff.to_string() }
    }
}

/// Made, live members that are assigned another revision than the newest.
pub fn outdated<'pass>(input: &UpgradeInput<'pass>) -> Vec<Outdated<'pass>> {
    input
        .members
        .iter()
        .filter(|member| member.is_made() && member.is_live())
        .filter(|member| member.assigned_revision.as_deref() != Some(input.newest.name.as_str()))
        .map(|member| Outdated { member, diff: diff_to_newest(input, member) })
        .collect()
}

fn diff_to_newest(input: &UpgradeInput<'_>, member: &Member) -> ViewDiff {
    let follows = |revision: &&Revision| member.assigned_revision.as_ref() == Some(&revision.name);
    match input.revisions.iter().find(follows) {
        Some(revision) => diff_models(&revision.profile.model(), &input.newest.profile.model()),
        None => ViewDiff::default(),
    }
}
