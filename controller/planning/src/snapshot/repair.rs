//! Automatic repairs: the policy in force, and what a repair leaves on a member.

use std::time::Duration;

use jiff::Timestamp;
use scaleset_crds::repairs::{FAILED_REPAIRS_MAX, GRACE_PERIOD_SECONDS, RepairAction};

/// `spec.automaticRepairsPolicy`, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairPolicy {
    /// Whether unhealthy members are repaired.
    pub switch: RepairSwitch,
    /// How long a member has to come up after a change.
    pub grace: Duration,
    /// How they are repaired.
    pub action: RepairAction,
    /// Repairs of one slot that may fail in a row.
    pub failures_max: u32,
}

/// Whether automatic repairs are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairSwitch {
    /// There is no policy.
    Absent,
    /// The policy is not enabled.
    Off,
    /// It is.
    On,
}

impl Default for RepairPolicy {
    fn default() -> Self {
        Self {
            switch: RepairSwitch::Absent,
            grace: Duration::from_secs(u64::try_from(GRACE_PERIOD_SECONDS).unwrap_or(0)),
            action: RepairAction::Replace,
            failures_max: u32::try_from(FAILED_REPAIRS_MAX).unwrap_or(1),
        }
    }
}

/// What a repair leaves on a member until it has mended it, so that it is known after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairMark {
    /// Which repair of its slot in a row, from 1.
    pub attempt: u32,
    /// What is done.
    pub action: RepairAction,
    /// When it was decided, scenario time.
    pub since: Timestamp,
    /// The member that it was made to replace.
    pub replaces: Option<String>,
}

impl RepairMark {
    /// The mark as the annotation spells it; `None` for text that is no mark.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let attempt = words.next()?.parse().ok()?;
        let spelled = words.next()?;
        let action = RepairAction::ALL.iter().copied().find(|action| action.as_str() == spelled)?;
        let since = words.next()?.parse().ok()?;
        Some(Self { attempt, action, since, replaces: words.next().map(str::to_owned) })
    }

    /// Under which name the hardware does it once.
    pub fn key(&self) -> String {
        format!("repair-{}", self.since)
    }
}

impl std::fmt::Display for RepairMark {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attempt, action, since, replaces } = self;
        write!(formatter, "{attempt} {} {since}", action.as_str())?;
        replaces.iter().try_for_each(|name| write!(formatter, " {name}"))
    }
}

/// How far a member has come with what its mark asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairUptake {
    /// The hardware has yet to do it, or is at it.
    Awaited,
    /// It was done, or there is nothing to do: no mark, or a new member.
    Done,
    /// The hardware has refused it, or failed.
    Failed,
}
