//! A sudden drop of the target waits until somebody says that it is meant.

use std::time::Duration;

use scaleset_crds::autoscale_setting::ScaleActionState;
use scaleset_crds::condition::{Reason, ScaleSetCondition};
use scaleset_planning::snapshot::{
    Autoscaler, Confirmation, RecordedScaling, ScaleInGuard, ScaleSetSnapshot, SetLife, Switch,
};
use scaleset_planning::status::scale_set::{ScaleSetOutcome, scale_set_status};
use scaleset_planning::sudden_drop::is_sudden;

use crate::fleet::{audited, deleted, newest, snapshot, spread};

/// A set of `members`, all in force, whose spec now says `replicas`.
fn dropped(members: usize, replicas: i32) -> ScaleSetSnapshot {
    let mut snapshot = snapshot(&[], replicas);
    snapshot.members = spread(&[(None, members)], &newest(&snapshot));
    snapshot.status.target_replicas = i32::try_from(members).ok();
    snapshot.scale_in_guard = guard(Confirmation::None, Autoscaler::None);
    snapshot
}

fn guard(confirmation: Confirmation, autoscaler: Autoscaler) -> ScaleInGuard {
    ScaleInGuard::On { confirmation, autoscaler, recorded: Vec::new() }
}

#[test]
fn below_half_and_more_than_five_is_sudden() {
    let cases = [
        ((10, 5), false, "half is not below half"),
        ((10, 4), true, "below half, six less"),
        ((9, 4), false, "below half, five less"),
        ((6, 0), true, "to nothing"),
        ((5, 0), false, "five are few"),
        ((1000, 499), true, "many"),
        ((4, 40), false, "growth"),
    ];
    for ((in_force, wished), expected, why) in cases {
        assert_eq!(is_sudden(in_force, wished), expected, "{in_force} to {wished}: {why}");
    }
}

#[test]
fn it_waits_with_its_numbers_and_the_target_in_force_stays() {
    let snapshot = dropped(10, 2);
    let plan = audited(&snapshot);
    assert!(deleted(&plan).is_empty());
    assert_eq!(plan.effective.target, 10);
    let hold = plan.holds.iter().find(|hold| hold.reason == Reason::ScaleInNotConfirmed).expect("it is held");
    assert_eq!(hold.count, 8);
    assert_eq!(
        hold.message,
        "spec.replicas is 2, 10 is in force: less than half, and more than 5 less; if it is meant, set the annotation \
         compute.scaleset.io/confirm-scale-in=2"
    );
    let status = scale_set_status(&snapshot, &plan, &ScaleSetOutcome::default());
    assert_eq!(status.target_replicas, Some(10), "the next pass holds it as well");
    let stalled = status.conditions.iter().find(|one| one.type_ == ScaleSetCondition::Stalled.as_str());
    assert_eq!(stalled.map(|one| (one.status.as_str(), one.reason.as_str())), Some(("True", "ScaleInNotConfirmed")));
}

#[test]
fn who_confirms_that_number_or_every_number_is_obeyed() {
    let cases = [
        (Confirmation::Target(2), Autoscaler::None, 8),
        (Confirmation::Target(3), Autoscaler::None, 0),
        (Confirmation::Any, Autoscaler::None, 8),
        (Confirmation::None, Autoscaler::Wishes(2), 8),
        (Confirmation::None, Autoscaler::Wishes(7), 0),
    ];
    for (confirmation, autoscaler, gone) in cases {
        let mut snapshot = dropped(10, 2);
        snapshot.scale_in_guard = guard(confirmation, autoscaler);
        assert_eq!(deleted(&audited(&snapshot)).len(), gone, "{confirmation:?} {autoscaler:?}");
    }
}

#[test]
fn a_setting_confirms_the_drop_that_it_is_about_to_make_and_no_other() {
    let under_way = RecordedScaling { switch: Switch::On, from: 10, to: 2, ended: None };
    let ended = |state| RecordedScaling { ended: Some(state), ..under_way.clone() };
    let cases = [
        ("from what is in force to what is wished", vec![under_way.clone()], 8),
        ("an older setting stands beside it", vec![ended(ScaleActionState::Failed), under_way.clone()], 8),
        ("to another number", vec![RecordedScaling { to: 3, ..under_way.clone() }], 0),
        ("decided when there were fewer: another drop", vec![RecordedScaling { from: 4, ..under_way.clone() }], 0),
        ("decided when there were more: another drop", vec![RecordedScaling { from: 20, ..under_way.clone() }], 0),
        ("the set could not be told", vec![ended(ScaleActionState::Failed)], 0),
        ("carried out long ago", vec![ended(ScaleActionState::Succeeded)], 0),
        ("switched off", vec![RecordedScaling { switch: Switch::Off, ..under_way }], 0),
    ];
    for (what, recorded, gone) in cases {
        let mut snapshot = dropped(10, 2);
        snapshot.scale_in_guard =
            ScaleInGuard::On { confirmation: Confirmation::None, autoscaler: Autoscaler::None, recorded };
        assert_eq!(deleted(&audited(&snapshot)).len(), gone, "{what}");
    }
}

#[test]
fn an_autoscaler_is_asked_again_soon_because_it_tells_its_wish_after_it_wrote_it() {
    let mut snapshot = dropped(10, 2);
    assert_eq!(audited(&snapshot).wake_after, None, "nobody but a person");
    snapshot.scale_in_guard = guard(Confirmation::None, Autoscaler::Wishes(10));
    assert_eq!(audited(&snapshot).wake_after, Some(Duration::from_secs(5)));
}

#[test]
fn no_guard_stands_before_a_deletion_or_where_it_is_switched_off() {
    let mut off = dropped(10, 2);
    off.scale_in_guard = ScaleInGuard::Off;
    assert_eq!(deleted(&audited(&off)).len(), 8);
    let mut terminating = dropped(10, 2);
    terminating.set.life = SetLife::Terminating;
    assert_eq!(deleted(&audited(&terminating)).len(), 10);
}
