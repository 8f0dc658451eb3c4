//! What a pass over an `AutoscaleSetting` does (Azure: "Understand autoscale settings", "Autoscale flapping", "Best practices
//! for autoscale").
//!
//! ```text
//! the set has not looked at its newest spec ──► its count is not known: nothing is decided, nothing on record ends
//! a decision on record that the set was not told of ──► it is told, and nothing new is decided
//! members were evicted for good ──► what is wished follows what is in force, whatever the cooldown
//! profile in force ──► count outside its bounds? to the nearest bound, whatever the cooldown
//!    └► cooldown of the rule that fired last? nothing, in either direction
//!         └► any rule asks for more? the largest count, at most the maximum
//!              └► metrics cannot be read? up to the default, never down
//!                   └► all rules that ask for less agree? the smallest reduction, at least the minimum,
//!                      unless a rule that asks for more would undo it
//! ```

pub mod among;
pub mod calendar;
mod cooldown;
mod evicted;
mod flapping;
pub mod measure;
pub mod profile;
pub mod rule;
mod unread;
pub mod unrounded;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use scaleset_crds::AutoscaleSettingStatus;
use scaleset_crds::autoscale_setting::{
    AutoscaleBlocker, ScaleActionRecord, ScaleActionResult, ScaleActionState, ScaleDirection,
};
use scaleset_crds::condition::{AutoscaleBlock as Block, Reason};

use crate::snapshot::{AutoscaleSnapshot, Failure, MetricsView, RecordedScaling, Rival, ScaleTarget, SetCount, Switch};
use crate::status::whole_seconds;
use flapping::Outlook;
use profile::Profile;
use rule::Finding;

/// How often a setting is evaluated, scenario time.
pub const EVALUATE_EVERY: Duration = Duration::from_secs(30);
/// When a set is looked at again that has yet to look at its newest spec or at the decision on record, scenario time; whoever
/// watches is called sooner.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long the set is told of a decision before it is given up.
const TOLD_WITHIN: Duration = Duration::from_mins(30);
/// A decision is known by its second: so long later the same one is another.
const NEXT_SECOND: Duration = Duration::from_secs(1);

/// What one pass over a setting finds, does and does not do.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct AutoscalePlan<'snapshot> {
    /// Why the setting decides nothing.
    pub refusal: Option<Failure>,
    /// VMs that the set is to make.
    pub current: Option<i32>,
    /// The profile in force.
    pub profile: Option<&'snapshot Profile>,
    /// The profile that comes next, `None` for none, and when.
    pub next_profile: Option<(Option<String>, Timestamp)>,
    /// What the rules of the profile in force find.
    pub findings: Vec<Finding<'snapshot>>,
    /// Why metrics cannot be read, where they matter.
    pub lost: Option<String>,
    /// What became of the decision on record.
    pub ended: Option<ScaleActionResult>,
    /// A new decision, to be put on record first.
    pub decision: Option<Decision>,
    /// The count that the set is told: of the new decision, or of the one on record.
    pub told: Option<i32>,
    /// What keeps the setting from what a rule asks for.
    pub blocker: Option<AutoscaleBlocker>,
    /// What was adjusted so that it would not be undone.
    pub adjusted: Option<String>,
    /// When to look again although nothing changes, scenario time.
    pub wake_after: Option<Duration>,
}

/// A new count, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What is put on record.
    pub record: ScaleActionRecord,
    /// Until when no rule acts; none where no rule has fired.
    pub cooldown_until: Option<Timestamp>,
}

/// Plans one pass over a setting.
pub fn plan(snapshot: &AutoscaleSnapshot) -> AutoscalePlan<'_> {
    let mut plan = AutoscalePlan { refusal: refusal(snapshot), ..AutoscalePlan::default() };
    let count = match &snapshot.target {
        ScaleTarget::Found(count) => Some(*count),
        ScaleTarget::Missing { name: _ }
        | ScaleTarget::Going { name: _ }
        | ScaleTarget::WithoutProfile { name: _ }
        | ScaleTarget::Uncounted { name: _, generation: _, observed: _ } => None,
    };
    plan.current = count.map(SetCount::current);
    let acts = snapshot.switch == Switch::On && plan.refusal.is_none();
    if snapshot.switch == Switch::On {
        plan.wake_after = Some(if is_uncounted(snapshot) { LOOK_AGAIN } else { EVALUATE_EVERY });
    }
    // How much the set is to have, and who else scales it, is told by a later pass; until then the decision on record waits.
    let unknown = matches!(snapshot.rival, Rival::Unknown { message: _ }) || is_uncounted(snapshot);
    let mut open = None;
    if let Some(record) = unfinished(&snapshot.status).filter(|_| !unknown) {
        match follow_up(snapshot, record, count.filter(|_| acts)) {
            FollowUp::Tell => (open, plan.told) = (Some(record), Some(record.to)),
            FollowUp::Wait => (open, plan.wake_after) = (Some(record), Some(LOOK_AGAIN)),
            FollowUp::Ended(state, message) => plan.ended = Some(result(record, state, message)),
        }
    }
    let Some(current) = plan.current.filter(|_| acts) else { return plan };
    plan.profile = profile::in_force(&snapshot.profiles, snapshot.now);
    let next = profile::next_change(&snapshot.profiles, snapshot.now);
    plan.next_profile = next.map(|(next, at)| (next.map(|next| next.name.clone()), at));
    let Some(profile) = plan.profile else { return plan };
    find(snapshot, profile, current, &mut plan);
    if open.is_none() {
        match count.and_then(evicted::followed) {
            Some(change) => plan.act(snapshot, change),
            None => decide(snapshot, profile, current, &mut plan),
        }
    }
    plan
}

/// Why a setting decides nothing, although it is enabled.
fn refusal(snapshot: &AutoscaleSnapshot) -> Option<Failure> {
    let refuse = |reason, message: String| Some(Failure { reason, message });
    match &snapshot.target {
        ScaleTarget::Missing { name } => {
            return refuse(Reason::ResourceNotFound, format!("spec.scaleTargetRef: there is no set {name}"));
        }
        ScaleTarget::Going { name } => return refuse(Reason::Deleting, format!("set {name} is being deleted")),
        ScaleTarget::WithoutProfile { name } => {
            let message =
                format!("spec.scaleTargetRef: set {name} has no virtualMachineProfile, and makes no VMs; give it one");
            return refuse(Reason::OperationNotAllowed, message);
        }
        ScaleTarget::Uncounted { name, generation, observed } => {
            let message = format!("set {name} has looked at its generation {observed}, {generation} is the newest");
            return refuse(Reason::Waiting, message);
        }
        ScaleTarget::Found(_) => {}
    }
    match &snapshot.rival {
        Rival::None => None,
        Rival::OlderSetting { name } => {
            let message = format!("setting {name} is older and scales the set; delete one of the two");
            refuse(Reason::OperationNotAllowed, message)
        }
        Rival::HorizontalPodAutoscaler => {
            let message = "a HorizontalPodAutoscaler scales the set; delete one of the two".to_owned();
            refuse(Reason::OperationNotAllowed, message)
        }
        Rival::Unknown { message } => refuse(Reason::Waiting, format!("autoscalers cannot be asked for: {message}")),
    }
}

/// Whether the set has yet to look at its newest spec.
pub const fn is_uncounted(snapshot: &AutoscaleSnapshot) -> bool {
    matches!(snapshot.target, ScaleTarget::Uncounted { name: _, generation: _, observed: _ })
}

/// The decision on record whose end is not.
fn unfinished(status: &AutoscaleSettingStatus) -> Option<&ScaleActionRecord> {
    RecordedScaling::of(Switch::On, status).filter(|recorded| recorded.ended.is_none())?;
    status.last_scale_action.as_ref()
}

enum FollowUp {
    /// The set is told.
    Tell,
    /// It was told, and has yet to take it.
    Wait,
    Ended(ScaleActionState, Option<String>),
}

/// What becomes of a decision on record: whoever was killed between the record and the set goes on here. `count` is none where
/// the setting does not act any more.
fn follow_up(snapshot: &AutoscaleSnapshot, record: &ScaleActionRecord, count: Option<SetCount>) -> FollowUp {
    let failed = |message: String| FollowUp::Ended(ScaleActionState::Failed, Some(message));
    let Some(count) = count else {
        return failed("the setting does not act any more".to_owned());
    };
    let late = snapshot.now.duration_since(record.time.0).unsigned_abs() > TOLD_WITHIN;
    let limit = TOLD_WITHIN.as_secs();
    if count.wished == Some(record.to) {
        // What is on record confirms a sudden drop as long as it has no end: it has none before the set has taken it.
        return match count.in_force.filter(|in_force| *in_force > record.to) {
            None => FollowUp::Ended(ScaleActionState::Succeeded, None),
            Some(in_force) if late => failed(format!("{in_force} were still in force after {limit} s")),
            Some(_) => FollowUp::Wait,
        };
    }
    if count.current() != record.from && !evicted::stands(record, count) {
        return failed(format!("the count was changed to {} meanwhile", count.current()));
    }
    if late {
        return failed(format!("the set could not be told within {limit} s"));
    }
    FollowUp::Tell
}

fn result(record: &ScaleActionRecord, state: ScaleActionState, message: Option<String>) -> ScaleActionResult {
    let ScaleActionRecord { from, to, time, cause } = record.clone();
    ScaleActionResult { from, to, time, cause, state, message }
}

/// What each rule of the profile finds.
fn find<'snapshot>(
    snapshot: &'snapshot AutoscaleSnapshot,
    profile: &'snapshot Profile,
    current: i32,
    plan: &mut AutoscalePlan<'snapshot>,
) {
    let points = |name: &str| match &snapshot.metrics {
        MetricsView::Read(by_rule) => by_rule.get(name).map(Vec::as_slice).unwrap_or_default(),
        MetricsView::Lost { message: _ } => &[],
    };
    plan.findings = profile.rules.iter().map(|rule| rule.find(points(&rule.name), current)).collect();
    plan.lost = unread::told(&plan.findings).map(|unread| match &snapshot.metrics {
        MetricsView::Lost { message } => message.clone(),
        MetricsView::Read(_) => unread,
    });
}

/// In the order of the module's picture.
fn decide(snapshot: &AutoscaleSnapshot, profile: &Profile, current: i32, plan: &mut AutoscalePlan<'_>) {
    let bound = current.clamp(profile.minimum, profile.maximum);
    if bound != current {
        let (word, limit) = if bound > current { ("least", profile.minimum) } else { ("most", profile.maximum) };
        let cause = format!("profile {}: at {word} {limit} VMs", profile.name);
        return plan.act(snapshot, Change { from: current, to: bound, cause, cooldown: None });
    }
    let change = match wanted(profile, current, plan) {
        Wanted::Nothing => return,
        Wanted::Blocked(block, message) => return plan.blocked(block, message),
        Wanted::Change(change) => change,
    };
    if let Some(until) = cooldown::running(&snapshot.status, snapshot.now) {
        let message = format!("{}; no rule acts before {} scenario time", change.cause, whole_seconds(until));
        return plan.blocked(Block::CoolingDown, message);
    }
    if change.to > current {
        return plan.act(snapshot, change);
    }
    match flapping::outlook(&plan.findings, current, change.to) {
        Outlook::Safe => plan.act(snapshot, change),
        Outlook::Adjusted { to, otherwise } => {
            let cause = format!("{}; not to {}: {otherwise}", change.cause, change.to);
            plan.adjusted = Some(otherwise);
            plan.act(snapshot, Change { to, cause, ..change });
        }
        Outlook::Flaps { otherwise } => plan.blocked(Block::Flapping, format!("{}; {otherwise}", change.cause)),
    }
}

/// What the rules ask for, cooldown and flapping aside.
enum Wanted {
    Nothing,
    Blocked(Block, String),
    Change(Change),
}

struct Change {
    from: i32,
    to: i32,
    cause: String,
    cooldown: Option<Duration>,
}

fn wanted(profile: &Profile, current: i32, plan: &AutoscalePlan<'_>) -> Wanted {
    let of = |direction: ScaleDirection| plan.findings.iter().filter(move |one| one.rule.direction == direction);
    // Of several that ask for the same count the first: its cooldown counts.
    let largest = |direction: ScaleDirection| {
        let asked = of(direction).filter_map(|one| Some((one.proposed(current)?, one)));
        asked.reduce(|best, other| if other.0 > best.0 { other } else { best })
    };
    let change = |to, finding: &Finding<'_>| {
        Wanted::Change(Change { from: current, to, cause: finding.told(), cooldown: Some(finding.rule.cooldown) })
    };
    if let Some((asked, finding)) = largest(ScaleDirection::Increase) {
        let to = asked.min(profile.maximum);
        return match to.cmp(&current) {
            std::cmp::Ordering::Greater => change(to, finding),
            std::cmp::Ordering::Equal if asked > to => {
                Wanted::Blocked(Block::AtMaximum, format!("{}; there may be {to} VMs at most", finding.told()))
            }
            std::cmp::Ordering::Equal | std::cmp::Ordering::Less => Wanted::Nothing,
        };
    }
    if let Some(lost) = &plan.lost {
        if current >= profile.default {
            return Wanted::Blocked(Block::MetricsLost, format!("{lost}; {current} VMs stay"));
        }
        let cause = format!("{lost}; the default is {}", profile.default);
        return Wanted::Change(Change { from: current, to: profile.default, cause, cooldown: None });
    }
    let all_agree = of(ScaleDirection::Decrease).all(Finding::fires);
    let Some((asked, finding)) = largest(ScaleDirection::Decrease).filter(|_| all_agree) else {
        return Wanted::Nothing;
    };
    let to = asked.max(profile.minimum);
    match to.cmp(&current) {
        std::cmp::Ordering::Less => change(to, finding),
        std::cmp::Ordering::Equal if asked < to => {
            Wanted::Blocked(Block::AtMinimum, format!("{}; there must be {to} VMs at least", finding.told()))
        }
        std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => Wanted::Nothing,
    }
}

impl AutoscalePlan<'_> {
    fn act(&mut self, snapshot: &AutoscaleSnapshot, change: Change) {
        let Change { from, to, cause, cooldown } = change;
        let time = whole_seconds(snapshot.now);
        // Its end would be taken for that of the one before.
        if RecordedScaling::is_known(&snapshot.status, from, to, time) {
            self.wake_after = Some(NEXT_SECOND);
            let told =
                format!("{cause}; {from} -> {to} is on record for this second, the next can come a second later");
            return self.blocked(Block::CoolingDown, told);
        }
        self.told = Some(to);
        self.decision = Some(Decision {
            record: ScaleActionRecord { from, to, time: Time(time), cause },
            cooldown_until: cooldown.map(|cooldown| time + cooldown),
        });
    }

    fn blocked(&mut self, block: Block, message: String) {
        self.blocker = Some(AutoscaleBlocker { code: block.as_str().to_owned(), message });
    }

    /// The profile's capacity in words.
    pub(crate) fn bounds(&self) -> Option<String> {
        let profile = self.profile?;
        Some(format!("profile {}: {} to {} VMs", profile.name, profile.minimum, profile.maximum))
    }
}
