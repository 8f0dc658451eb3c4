use super::*;

const SET: &str = "set-uid";

fn vms() -> Scope {
    (Kind::ScaleSetVM, "default".to_owned())
}

fn revisions() -> Scope {
    (Kind::ControllerRevision, "default".to_owned())
}

fn nothing(_: Kind, _: &ObjectKey) -> Option<String> {
    None
}

fn removal() -> Expectation {
    let key = ObjectKey { namespace: "default".to_owned(), name: "web-1".to_owned() };
    Expectation::Removal { key, uid: "old".to_owned() }
}

fn written(expectation: Expectation) -> (OwnWrites, Instant) {
    let (mut writes, now) = (OwnWrites::default(), Instant::now());
    writes.wrote(SET, vms(), expectation, now);
    (writes, now)
}

#[test]
fn an_object_that_wrote_nothing_is_current() {
    assert_eq!(OwnWrites::default().gate(SET, Instant::now(), nothing), Gate::Current);
}

#[test]
fn a_write_holds_its_own_object_until_the_watch_delivers_it() {
    let (mut writes, now) = written(Expectation::Version(10));
    assert_eq!(writes.gate(SET, now, nothing), Gate::Behind(Duration::from_millis(20)));
    assert_eq!(writes.gate("another", now, nothing), Gate::Current);
    writes.seen(Kind::ScaleSetVM, 9);
    assert_eq!(writes.gate(SET, now, nothing), Gate::Behind(Duration::from_millis(40)));
    writes.seen(Kind::FlexVM, 99);
    assert_eq!(writes.gate(SET, now, nothing), Gate::Behind(Duration::from_millis(80)), "another kind says nothing");
    writes.seen(Kind::ScaleSetVM, 10);
    assert_eq!(writes.gate(SET, now, nothing), Gate::Current);
}

#[test]
fn a_write_that_the_watch_delivered_first_holds_nothing() {
    let mut writes = OwnWrites::default();
    writes.seen(Kind::ScaleSetVM, 11);
    writes.wrote(SET, vms(), Expectation::Version(10), Instant::now());
    assert_eq!(writes.gate(SET, Instant::now(), nothing), Gate::Current);
}

#[test]
fn the_highest_version_of_each_kind_counts() {
    let (mut writes, now) = written(Expectation::Version(12));
    writes.wrote(SET, vms(), Expectation::Version(10), now);
    writes.wrote(SET, revisions(), Expectation::Version(15), now);
    writes.seen(Kind::ScaleSetVM, 10);
    assert!(matches!(writes.gate(SET, now, nothing), Gate::Behind(_)));
    writes.seen(Kind::ScaleSetVM, 12);
    assert!(matches!(writes.gate(SET, now, nothing), Gate::Behind(_)), "the revision is not seen yet");
    writes.seen(Kind::ControllerRevision, 15);
    assert_eq!(writes.gate(SET, now, nothing), Gate::Current);
}

#[test]
fn the_wait_doubles_up_to_a_second_and_starts_anew_with_the_next_write() {
    let (mut writes, now) = written(Expectation::Version(10));
    let waits: Vec<Gate> = (0..7).map(|_| writes.gate(SET, now, nothing)).collect();
    let expected = [20, 40, 80, 160, 320, 640, 1_000].map(|wait| Gate::Behind(Duration::from_millis(wait)));
    assert_eq!(waits, expected);
    writes.seen(Kind::ScaleSetVM, 10);
    assert_eq!(writes.gate(SET, now, nothing), Gate::Current);
    writes.wrote(SET, vms(), Expectation::Version(20), now);
    assert_eq!(writes.gate(SET, now, nothing), Gate::Behind(Duration::from_millis(20)));
}

#[test]
fn a_removal_is_seen_when_the_name_is_free() {
    let (mut writes, now) = written(removal());
    assert!(matches!(writes.gate(SET, now, |_, _| Some("old".to_owned())), Gate::Behind(_)));
    assert_eq!(writes.gate(SET, now, nothing), Gate::Current);
}

#[test]
fn a_removal_is_seen_when_the_name_has_another_uid() {
    let (mut writes, now) = written(removal());
    assert_eq!(writes.gate(SET, now, |_, _| Some("new".to_owned())), Gate::Current);
}

#[test]
fn a_list_settles_what_was_written_before_it_was_begun() {
    let (mut writes, now) = written(Expectation::Version(10));
    writes.list_begun(Kind::ScaleSetVM);
    assert!(matches!(writes.gate(SET, now, nothing), Gate::Behind(_)), "not before the cache shows it");
    writes.list_done(Kind::ScaleSetVM);
    assert_eq!(writes.gate(SET, now, nothing), Gate::Current);
}

#[test]
fn a_list_does_not_settle_what_was_written_while_it_ran() {
    let (mut writes, now) = (OwnWrites::default(), Instant::now());
    writes.list_begun(Kind::ScaleSetVM);
    writes.wrote(SET, vms(), Expectation::Version(10), now);
    writes.list_done(Kind::ScaleSetVM);
    assert!(matches!(writes.gate(SET, now, nothing), Gate::Behind(_)));
}

#[test]
fn a_list_of_another_kind_settles_nothing() {
    let (mut writes, now) = written(Expectation::Version(10));
    writes.list_begun(Kind::FlexVM);
    writes.list_done(Kind::FlexVM);
    assert!(matches!(writes.gate(SET, now, nothing), Gate::Behind(_)));
}

#[test]
fn objects_of_a_list_count_only_when_the_cache_shows_it() {
    let (mut writes, now) = (OwnWrites::default(), Instant::now());
    writes.list_begun(Kind::ScaleSetVM);
    writes.wrote(SET, vms(), Expectation::Version(10), now);
    writes.seen_in_list(Kind::ScaleSetVM, 12);
    assert!(matches!(writes.gate(SET, now, nothing), Gate::Behind(_)));
    writes.list_done(Kind::ScaleSetVM);
    assert_eq!(writes.gate(SET, now, nothing), Gate::Current);
}

#[test]
fn a_list_that_broke_off_does_not_lend_its_objects_to_the_next() {
    let (mut writes, now) = (OwnWrites::default(), Instant::now());
    writes.list_begun(Kind::ScaleSetVM);
    writes.seen_in_list(Kind::ScaleSetVM, 12);
    writes.list_begun(Kind::ScaleSetVM);
    writes.wrote(SET, vms(), Expectation::Version(11), now);
    writes.list_done(Kind::ScaleSetVM);
    assert!(matches!(writes.gate(SET, now, nothing), Gate::Behind(_)));
}

#[test]
fn an_unseen_write_makes_one_list_due_after_its_deadline() {
    let (mut writes, now) = written(Expectation::Version(10));
    assert!(matches!(
        writes.gate(SET, now + UNSEEN_MAX.saturating_sub(Duration::from_millis(1)), nothing),
        Gate::Behind(_)
    ));
    let late = now + UNSEEN_MAX;
    assert_eq!(writes.gate(SET, late, nothing), Gate::ListDue(Cause::Unseen, BTreeSet::from([vms()])));
    assert!(matches!(writes.gate(SET, late, nothing), Gate::Behind(_)), "one list at a time");
    writes.listed(&vms(), late);
    writes.list_ended(SET);
    assert_eq!(writes.gate(SET, late, nothing), Gate::Current);
}

#[test]
fn a_list_that_failed_is_due_again() {
    let (mut writes, now) = written(Expectation::Version(10));
    let late = now + UNSEEN_MAX;
    assert!(matches!(writes.gate(SET, late, nothing), Gate::ListDue(..)));
    writes.list_ended(SET);
    assert!(matches!(writes.gate(SET, late, nothing), Gate::ListDue(..)));
}

#[test]
fn an_unknown_outcome_makes_a_list_due_at_once() {
    let (mut writes, now) = written(Expectation::Unknown);
    let due = Gate::ListDue(Cause::UnknownOutcome, BTreeSet::from([vms()]));
    assert_eq!(writes.gate(SET, now, nothing), due);
    writes.seen(Kind::ScaleSetVM, 1_000);
    assert!(matches!(writes.gate(SET, now, nothing), Gate::Behind(_)), "no event can tell");
    writes.listed(&vms(), now + Duration::from_millis(1));
    assert_eq!(writes.gate(SET, now, nothing), Gate::Current);
}

#[test]
fn a_list_of_its_own_settles_only_its_scope_and_only_what_is_older() {
    let (mut writes, now) = written(Expectation::Unknown);
    writes.listed(&revisions(), now);
    assert!(writes.is_pending(&vms()));
    writes.listed(&vms(), now.checked_sub(Duration::from_secs(1)).unwrap());
    assert!(writes.is_pending(&vms()));
    writes.listed(&vms(), now);
    assert!(!writes.is_pending(&vms()));
}

#[test]
fn an_object_that_is_gone_leaves_nothing_behind() {
    let (mut writes, now) = written(Expectation::Version(10));
    writes.forget(SET);
    assert!(writes.owners.is_empty());
    assert_eq!(writes.gate(SET, now, nothing), Gate::Current);
}

#[test]
fn settled_objects_leave_nothing_behind() {
    let (mut writes, now) = written(Expectation::Version(10));
    writes.seen(Kind::ScaleSetVM, 10);
    assert_eq!(writes.gate(SET, now, nothing), Gate::Current);
    assert!(writes.owners.is_empty());
}
