//! What a pass has decided about the members of a set, and done: told as events, counted by decision.

use scaleset_crds::condition::Reason;
use scaleset_crds::event::{EventReason, Occurrence};
use scaleset_planning::plan::RemovalCause;
use scaleset_planning::snapshot::OsDiskWish;

use super::execute::Executed;

/// One decision, and the members that it is about; there may be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) reason: EventReason,
    /// The action of its event.
    pub(super) action: &'static str,
    /// What its event says before the names.
    pub(super) words: &'static str,
    pub(super) names: Vec<String>,
}

/// What is told in one event each, where `newest` is the newest revision. A repair that keeps its VM has an event of its own.
pub(super) fn decisions(newest: Option<&str>, executed: &Executed) -> Vec<Decision> {
    let decision = |reason: EventReason, action, words, names| Decision { reason, action, words, names };
    let removed = |reason: EventReason, words, cause| {
        let of_cause = executed.deleted.iter().filter(|removal| removal.cause == cause);
        decision(reason, "Delete", words, of_cause.map(|removal| removal.name.clone()).collect())
    };
    let with_disk = |is: fn(&OsDiskWish) -> bool| -> Vec<String> {
        executed.os_disks.iter().filter(|(_, wish)| is(wish)).map(|(name, _)| name.clone()).collect()
    };
    let (forward, back): (Vec<_>, Vec<_>) =
        executed.assigned.iter().partition(|(_, revision)| newest == Some(revision.as_str()));
    let names = |assigned: Vec<&(String, String)>| assigned.into_iter().map(|(name, _)| name.clone()).collect();
    let upgraded = with_disk(|wish| matches!(wish, OsDiskWish::Fresh { .. }));
    let restored = with_disk(|wish| matches!(wish, OsDiskWish::Former { .. }));
    let restoring = "not well on the new OS image, restoring the former OS disk of";
    vec![
        decision(Occurrence::ScaledOut.into(), "Create", "made", executed.created.clone()),
        removed(Occurrence::ScaledIn.into(), "removing", RemovalCause::ScaleIn),
        removed(Occurrence::Replacing.into(), "the newest model needs new VMs, removing", RemovalCause::Replace),
        removed(Occurrence::Repairing.into(), "a new VM takes its place, removing", RemovalCause::Repair),
        removed(Reason::Evicted.into(), "Spot VMs were evicted, removing", RemovalCause::Evicted),
        removed(Occurrence::Overprovisioned.into(), "more were made than are kept, removing", RemovalCause::Surplus),
        removed(Reason::Deleting.into(), "removing", RemovalCause::SetDeleted),
        decision(Reason::Upgrading.into(), "Upgrade", "bringing to the newest model", names(forward)),
        decision(Reason::RollingBack.into(), "Upgrade", "going back to the model on which it was well:", names(back)),
        decision(Occurrence::UpgradingOSImage.into(), "Upgrade", "upgrading the OS image of", upgraded),
        decision(Occurrence::RestoringOSDisk.into(), "Restore", restoring, restored),
    ]
}

/// How many members each decision is about, repairs that keep their VM included. A mark that is taken off is no repair.
pub(super) fn counts(newest: Option<&str>, executed: &Executed) -> Vec<(&'static str, usize)> {
    let repaired = executed.repairs.iter().filter(|repairing| repairing.mark.is_some()).count();
    let told = decisions(newest, executed).into_iter().map(|decision| (decision.reason.as_str(), decision.names.len()));
    told.chain([(Occurrence::Repairing.as_str(), repaired)]).filter(|(_, members)| *members > 0).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use scaleset_crds::repairs::RepairAction;
    use scaleset_planning::plan::{Removal, Repairing};
    use scaleset_planning::snapshot::{MemberKind, RepairMark};

    use super::*;

    fn removal(name: &str, cause: RemovalCause) -> Removal {
        Removal {
            kind: MemberKind::ScaleSetVM,
            name: name.to_owned(),
            uid: name.to_owned(),
            resource_version: "1".to_owned(),
            cause,
            reason: "it has failed".to_owned(),
        }
    }

    fn repairing(name: &str, action: Option<RepairAction>) -> Repairing {
        let mark = |action| RepairMark { attempt: 1, action, since: Timestamp::UNIX_EPOCH, replaces: None };
        Repairing {
            kind: MemberKind::ScaleSetVM,
            name: name.to_owned(),
            uid: name.to_owned(),
            resource_version: "1".to_owned(),
            mark: action.map(mark),
            reason: "it is unhealthy".to_owned(),
        }
    }

    const NEWEST: Option<&str> = Some("web-2");

    #[test]
    fn only_what_goes_to_the_newest_model_is_an_upgrade() {
        let assigned = |name: &str, revision: &str| (name.to_owned(), revision.to_owned());
        let executed = Executed {
            assigned: vec![assigned("web-0", "web-2"), assigned("web-1", "web-1"), assigned("web-2", "web-2")],
            ..Executed::default()
        };
        let told: BTreeMap<&str, Vec<String>> = decisions(NEWEST, &executed)
            .into_iter()
            .filter(|decision| !decision.names.is_empty())
            .map(|decision| (decision.reason.as_str(), decision.names))
            .collect();
        let expected =
            [("RollingBack", vec!["web-1".to_owned()]), ("Upgrading", vec!["web-0".to_owned(), "web-2".to_owned()])];
        assert_eq!(told, BTreeMap::from(expected));
        assert_eq!(counts(NEWEST, &executed), [("Upgrading", 2), ("RollingBack", 1)]);
    }

    #[test]
    fn every_repair_is_counted_whether_it_keeps_its_vm_or_not() {
        let executed = Executed {
            deleted: vec![removal("web-0", RemovalCause::Repair), removal("web-1", RemovalCause::ScaleIn)],
            repairs: vec![
                repairing("web-2", Some(RepairAction::Restart)),
                repairing("web-3", Some(RepairAction::Reimage)),
                repairing("web-4", None),
            ],
            ..Executed::default()
        };
        assert_eq!(counts(NEWEST, &executed), [("ScaledIn", 1), ("Repairing", 1), ("Repairing", 2)]);
    }
}
