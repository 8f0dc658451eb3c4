//! A small world around one set: its members, their machines, what its status records, and how far a pass has come.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use scaleset_crds::rolling_upgrade::RollingUpgradeStatus;
use scaleset_crds::scale_set::RevisionsStatus;
use scaleset_crds::vocabulary::UpgradeMode;
use scaleset_planning::snapshot::{BreachRule, MaxSurge};

/// Members that are wished.
pub(crate) const REPLICAS: usize = 3;

/// What a search is about.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) mode: UpgradeMode,
    pub(crate) max_surge: MaxSurge,
    pub(crate) on_breach: BreachRule,
    /// Of a batch, and of all that may be unhealthy.
    pub(crate) percent: i32,
    pub(crate) change: Change,
    pub(crate) content: Content,
    /// How often the controller may die.
    pub(crate) crashes: u8,
}

/// What the new model costs a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A restart.
    InPlace,
    /// A new VM.
    Replace,
}

/// How VMs do on the new model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Well.
    Good,
    /// Well, unwell or broken, each as it happens.
    Bad,
}

/// The two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Profile {
    Old,
    New,
}

/// Everything that there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) wish: Profile,
    /// Models that are kept as revisions.
    pub(crate) kept: BTreeSet<Profile>,
    pub(crate) members: BTreeMap<i64, Vm>,
    pub(crate) record: Record,
    /// The controller's memory while it carries out a plan.
    pub(crate) pass: Option<Pass>,
    pub(crate) crashes_left: u8,
    /// The highest number that a member was ever given.
    pub(crate) given: i64,
    /// The first rule that a step broke.
    pub(crate) wrong: Option<String>,
}

/// A member and its machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Vm {
    pub(crate) assigned: Profile,
    /// The newest model when it was made.
    pub(crate) made_on: Profile,
    pub(crate) mark: Option<Mark>,
    pub(crate) going: bool,
    /// Whether its report speaks of its present spec.
    pub(crate) reported: bool,
    pub(crate) machine: Machine,
    /// The last model on which it was well.
    pub(crate) well_on: Option<Profile>,
}

/// The mark of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    pub(crate) number: i64,
    pub(crate) age: Age,
    pub(crate) replaces: Option<String>,
}

/// How long ago something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Age {
    /// Within the health timeout.
    Fresh,
    /// Longer ago.
    Over,
}

/// What the hardware has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Machine {
    None,
    /// It is made, or brought from one model to another.
    Works {
        from: Option<Profile>,
        to: Profile,
    },
    Well(Profile),
    Unwell(Profile),
    /// What it tried has failed.
    Broken(Profile),
}

/// What the status records, and whether it says what is held back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) next_number: Option<i64>,
    pub(crate) rolling: Option<RollingUpgradeStatus>,
    pub(crate) revisions: Option<RevisionsStatus>,
    pub(crate) blockers: BTreeSet<String>,
}

impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { next_number, rolling, revisions, blockers } = self;
        (next_number, format!("{rolling:?} {revisions:?}"), blockers).hash(state);
    }
}

/// What is left of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pass {
    pub(crate) writes: Vec<Write>,
    /// Members as they were when it was planned: a write of one that has changed since is refused.
    pub(crate) seen: BTreeMap<i64, Vm>,
    /// What it records.
    pub(crate) record: Record,
}

/// One write of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    KeepRevision(Profile),
    Status,
    Create { number: i64, profile: Profile, mark: Option<Mark> },
    Assign { number: i64, profile: Profile, mark: Option<Mark> },
    Mark { number: i64, mark: Mark },
    Delete { number: i64 },
}

impl World {
    /// Three members, well on the old model.
    pub(crate) fn converged(crashes: u8) -> Self {
        let vm = Vm {
            assigned: Profile::Old,
            made_on: Profile::Old,
            mark: None,
            going: false,
            reported: true,
            machine: Machine::Well(Profile::Old),
            well_on: Some(Profile::Old),
        };
        Self {
            wish: Profile::Old,
            kept: [Profile::Old].into(),
            members: (0..).zip(std::iter::repeat_n(vm, REPLICAS)).collect(),
            record: Record::default(),
            pass: None,
            crashes_left: crashes,
            given: 2,
            wrong: None,
        }
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Vm> {
        self.members.values().filter(|vm| !vm.going)
    }

    /// Machines that do their work.
    pub(crate) fn working(&self) -> usize {
        self.live().filter(|vm| matches!(vm.machine, Machine::Well(_))).count()
    }
}
