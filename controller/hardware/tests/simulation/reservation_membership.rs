//! Who draws on a capacity reservation group: sizes, zones, namespaces; joining, leaving, and who is told.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use scaleset_crds::VirtualMachineModel;
use scaleset_crds::reservation::{CapacityReservationGroupReference, ReservationState};
use scaleset_crds::scheduled_event::EventApproval;
use scaleset_crds::vocabulary::PowerWish;
use scaleset_hardware::sim::Drift;
use scaleset_hardware::{
    Change, CreateRequest, Deletion, Hardware, OperationAction, OperationRequest, Owner, QuotaRule,
    ReservationGroupRequest, Shutdown, UpdateMethod,
};

use crate::fixture::{Fixture, REGION, model, placement, refusal, request, request_of, target};
use crate::reservation::{
    GROUP, counts, draws_on, group_request, power, reference, reservation_of, reserved, reserved_model, small,
    state_of, usage, with_group, with_reservation,
};

#[tokio::test]
async fn a_resize_needs_a_reservation_of_the_new_size() {
    let fixture = with_reservation(1).await;
    fixture.running_as(reserved("a")).await;
    fixture.running_as(reserved("b")).await;
    let resized = |size: &str| Arc::new(reserved_model(size));
    let restart = UpdateMethod::Restart;
    assert_eq!(
        refusal(fixture.simulation.update(target("a", 2), "revision-2", resized("Medium"), restart).await),
        "OperationNotAllowed: capacity reservation group default/reserved has no reservation of Medium in testland zone 1, it reserves: Small in testland zone 1"
    );
    fixture.simulation.reserve(target(GROUP, 1), reservation_of("Medium", Some("1"), 1)).await.unwrap();
    fixture.simulation.update(target("a", 2), "revision-2", resized("Medium"), restart).await.unwrap();
    fixture.finish();
    let a = fixture.machine("a").await.capacity_reservation.unwrap();
    assert_eq!((a.reservation.as_str(), a.state), ("medium-1", ReservationState::Allocated));
    assert_eq!(state_of(&fixture, "b").await, Some(ReservationState::Allocated), "it got the slot that a left");
    let drift = Drift { vm_size: Some("Small".to_owned()), ..Drift::default() };
    assert!(fixture.simulation.drift("a", drift).await.is_err());
    // Leaving the group first is the other way.
    power(&fixture, "b", PowerWish::Deallocated).await.unwrap();
    let mut general = model();
    "Large".clone_into(&mut general.vm_size);
    fixture.simulation.update(target("b", 2), "revision-2", Arc::new(general), restart).await.unwrap();
    fixture.finish();
    power(&fixture, "b", PowerWish::Running).await.unwrap_err();
    assert!(fixture.simulation.set_power(target("b", 2), PowerWish::Running, Shutdown::Graceful).await.is_ok());
    assert_eq!(state_of(&fixture, "b").await, None);
}

#[tokio::test]
async fn nobody_leaves_with_hardware_unless_nothing_is_reserved() {
    let fixture = with_reservation(1).await;
    fixture.running_as(reserved("a")).await;
    assert_eq!(
        refusal(draws_on(&fixture, "a", None).await),
        "OperationNotAllowed: a machine with hardware cannot leave reservation small-1 of 1: deallocate it, or reduce the capacity to 0 first"
    );
    fixture.simulation.reserve(target(GROUP, 1), small(0)).await.unwrap();
    assert_eq!(state_of(&fixture, "a").await, Some(ReservationState::Overallocated));
    draws_on(&fixture, "a", None).await.unwrap();
    assert_eq!((state_of(&fixture, "a").await, counts(&fixture.simulation).await), (None, (0, 0, 0, 0)));
    assert_eq!(usage(&fixture, "regional total").await, 1, "it runs on, by itself");
    // A running machine of a zone comes back at once, and its room becomes the slot.
    fixture.simulation.reserve(target(GROUP, 1), small(1)).await.unwrap();
    draws_on(&fixture, "a", Some(reference(None))).await.unwrap();
    assert_eq!(counts(&fixture.simulation).await, (1, 1, 0, 0));
    assert_eq!(usage(&fixture, "regional total").await, 1);
}

/// A machine that counts against no quota has nothing to give back when a reservation counts it, and takes nothing after.
#[tokio::test]
async fn an_exempt_machine_brings_no_quota_and_takes_none_along() {
    let extra = |uid: &str| CreateRequest { quota: QuotaRule::Exempt, ..request(uid) };
    let fixture = with_group(&REGION.replace("regionalTotal: 200", "regionalTotal: 2")).await;
    fixture.simulation.reserve(target(GROUP, 1), small(0)).await.unwrap();
    fixture.running("counted").await;
    fixture.running_as(extra("a")).await;
    fixture.running_as(extra("b")).await;
    assert_eq!(usage(&fixture, "regional total").await, 1);
    draws_on(&fixture, "a", Some(reference(None))).await.unwrap();
    assert_eq!(usage(&fixture, "regional total").await, 2, "the reservation counts it");
    assert_eq!(
        refusal(draws_on(&fixture, "b", Some(reference(None))).await),
        "QuotaExceeded: regional total vcpu quota: limit 2, usage 2, additional required 1, minimum new limit 3"
    );
    draws_on(&fixture, "a", None).await.unwrap();
    assert_eq!(usage(&fixture, "regional total").await, 1);
}

#[tokio::test]
async fn regional_groups_reserve_in_a_zone_of_their_own_choice() {
    let fixture = Fixture::new();
    let regional = ReservationGroupRequest { zones: Vec::new(), ..group_request() };
    fixture.simulation.put_reservation_group(target(GROUP, 1), regional).await.unwrap();
    fixture.simulation.reserve(target(GROUP, 1), reservation_of("Small", None, 32)).await.unwrap();
    assert!(fixture.simulation.reserve(target(GROUP, 1), reservation_of("Small", None, 33)).await.is_err());
    fixture.simulation.reserve(target(GROUP, 1), reservation_of("Small", None, 32)).await.unwrap();
    assert!(refusal(fixture.simulation.create(request("zonal")).await).starts_with("ZonalAllocationFailed"));
    assert!(refusal(fixture.simulation.create(reserved("zonal")).await).starts_with("OperationNotAllowed: "));
    let anywhere = |uid: &str, wanted: CreateRequest| CreateRequest {
        placement: placement(None, None),
        target: target(uid, 1),
        ..wanted
    };
    fixture.running_as(anywhere("a", reserved("a"))).await;
    assert!(fixture.machine("a").await.host.unwrap().starts_with("testland-z1"));
    // A machine of a Uniform set has to be deallocated first, another one need not be.
    fixture.running_as(anywhere("b", request("b"))).await;
    assert_eq!(
        refusal(draws_on(&fixture, "b", Some(reference(None))).await),
        "OperationNotAllowed: a regional machine of a Uniform set with hardware cannot be associated with a capacity reservation group: deallocate it first"
    );
    power(&fixture, "b", PowerWish::Deallocated).await.unwrap();
    draws_on(&fixture, "b", Some(reference(None))).await.unwrap();
    assert_eq!(state_of(&fixture, "b").await, Some(ReservationState::Associated));
    assert!(fixture.simulation.set_power(target("b", 1), PowerWish::Running, Shutdown::Graceful).await.is_ok());
    assert_eq!(counts(&fixture.simulation).await, (2, 2, 0, 30));
    let flexible = anywhere("c", request("c"));
    let owner = Owner { kind: "FlexVM".to_owned(), ..flexible.owner.clone() };
    fixture.running_as(CreateRequest { owner, ..flexible }).await;
    draws_on(&fixture, "c", Some(reference(None))).await.unwrap();
    assert_eq!(counts(&fixture.simulation).await, (3, 3, 0, 29));
}

/// Same namespace or another, shared or not, there or not: who may not hears the same as for what is not there.
#[tokio::test]
async fn only_who_is_admitted_draws_on_a_group() {
    let fixture = with_reservation(4).await;
    let of_team = |uid: &str, namespace: Option<&str>, name: &str| {
        let mut wanted = reserved_model("Small");
        let group = CapacityReservationGroupReference { name: name.to_owned(), ..reference(namespace) };
        wanted.capacity_reservation_group_ref = Some(group);
        let owner = Owner { namespace: "team".to_owned(), ..request(uid).owner };
        CreateRequest { owner, ..request_of(uid, wanted) }
    };
    let share = |with: &[&str]| ReservationGroupRequest {
        shared_with: with.iter().map(ToString::to_string).collect(),
        ..group_request()
    };
    let missing = |name: &str| {
        format!(
            "ResourceNotFound: capacity reservation group default/{name} does not exist, or is not shared with namespace team"
        )
    };
    assert_eq!(
        refusal(fixture.simulation.create(of_team("a", Some("default"), "reserved")).await),
        missing("reserved")
    );
    assert_eq!(refusal(fixture.simulation.create(of_team("a", Some("default"), "nothing")).await), missing("nothing"));
    assert!(refusal(fixture.simulation.create(of_team("a", None, "reserved")).await).contains("group team/reserved"));
    fixture.simulation.put_reservation_group(target(GROUP, 2), share(&["team"])).await.unwrap();
    fixture.running_as(of_team("a", Some("default"), "reserved")).await;
    fixture.running_as(of_team("b", Some("default"), "reserved")).await;
    assert_eq!(counts(&fixture.simulation).await, (2, 2, 0, 2));
    assert_eq!(fixture.machine("a").await.capacity_reservation.unwrap().group_namespace, "default");
    // Revoked: nobody new, who is there stays, with its slot.
    fixture.simulation.put_reservation_group(target(GROUP, 3), share(&[])).await.unwrap();
    assert_eq!(
        refusal(fixture.simulation.create(of_team("c", Some("default"), "reserved")).await),
        missing("reserved")
    );
    power(&fixture, "a", PowerWish::Deallocated).await.unwrap();
    power(&fixture, "a", PowerWish::Running).await.unwrap();
    assert_eq!(state_of(&fixture, "a").await, Some(ReservationState::Allocated));
    assert_eq!(counts(&fixture.simulation).await, (2, 2, 0, 2), "they are listed");
    // They do not hold the group: they run on as general machines.
    assert_eq!(fixture.simulation.release_reservation(target(GROUP, 3), "small-1").await, Ok(Deletion::Gone));
    assert_eq!(fixture.simulation.delete_reservation_group(target(GROUP, 3)).await, Ok(Deletion::Gone));
    assert_eq!((state_of(&fixture, "a").await, usage(&fixture, "regional total").await), (None, 2));
    let restart =
        OperationRequest { uid: "restart".to_owned(), action: OperationAction::Restart(EventApproval::Automatic) };
    fixture.simulation.perform(target("a", 1), restart).await.unwrap();
    fixture.finish();
    power(&fixture, "b", PowerWish::Deallocated).await.unwrap();
    assert_eq!(refusal(power(&fixture, "b", PowerWish::Running).await), missing("reserved"));
    assert!(draws_on(&fixture, "b", None).await.is_ok());
}

#[tokio::test]
async fn spot_machines_draw_on_no_reservation() {
    let fixture = with_reservation(1).await;
    let terms = serde_json::from_value(serde_json::json!({"evictionPolicy": "Deallocate", "maxPrice": "-1"})).unwrap();
    let spot = VirtualMachineModel { spot: Some(terms), ..reserved_model("Small") };
    assert_eq!(
        refusal(fixture.simulation.create(request_of("a", spot)).await),
        "OperationNotAllowed: a Spot VM cannot draw on a capacity reservation group"
    );
}

#[tokio::test]
async fn a_change_of_a_group_is_announced() {
    let fixture = with_reservation(1).await;
    let mut changes = fixture.simulation.changes();
    fixture.running_as(reserved("a")).await;
    fixture.running_as(reserved("b")).await;
    power(&fixture, "a", PowerWish::Deallocated).await.unwrap();
    fixture.simulation.settle();
    let mut told = Vec::new();
    while let Some(Some(change)) = changes.next().now_or_never() {
        told.push(match change {
            Change::ReservationGroup { uid, namespace, name } => format!("{uid} {namespace}/{name}"),
            Change::Machine { uid, owner: _ } => uid,
            Change::Catalog => "catalog".to_owned(),
            Change::Everything => "everything".to_owned(),
        });
    }
    let groups = told.iter().filter(|text| *text == "group-uid default/reserved").count();
    assert!(groups >= 3, "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("group-uid default/reserved"), "{told:?}");
    assert!(told[told.len() - 3..].iter().any(|uid| uid == "b"), "who got the slot is told of: {told:?}");
}
