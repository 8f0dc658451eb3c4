//! Cases of `CapacityReservationGroup`.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When, accepting};
use crate::objects::{flex_vm, flexible_set, merged, reservation_group, uniform_set};

const ONCE: &str = "OperationNotAllowed: each size must be reserved at most once in each zone, and in a group without zones at \
                    most once";
const ZONE: &str = "InvalidParameter: the zone of each reservation must be one of the group's zones, and absent in a group \
                    without zones";
const NAME: &str = "InvalidParameter: the name must be a DNS label of at most 63 characters: lower-case letters, digits and \
                    '-', starting and ending with a letter or a digit";

fn reservation(name: &str, size: &str, zone: Option<&str>, capacity: i32) -> Value {
    let mut reservation = json!({"name": name, "vmSize": size, "capacity": capacity});
    if let Some(zone) = zone {
        reservation["zone"] = json!(zone);
    }
    reservation
}

fn reserving(reservations: &[Value]) -> Value {
    json!({"spec": {"reservations": reservations}})
}

fn regional() -> Value {
    let spec = json!({"zones": null, "reservations": [reservation("d2s", "Standard_D2s_v3", None, 5)]});
    merged(&reservation_group(), &json!({"spec": spec}))
}

/// Every rule of the kind.
pub fn cases() -> Vec<Case> {
    [of_changes(), of_reservations()].concat()
}

fn of_changes() -> Vec<Case> {
    let first = || reservation("d2s-z1", "Standard_D2s_v3", Some("1"), 40);
    let changed = |accepted: Value, refused: Value, field: &str, message: &str| {
        accepting(reservation_group(), When::OnChange, accepted).refusing(refused, field, message)
    };
    let other_zone = reservation("d2s-z1", "Standard_D2s_v3", Some("2"), 40);
    let other_size = reservation("d2s-z1", "Standard_D4s_v3", Some("1"), 40);
    vec![
        accepting(reservation_group(), When::OnCreation, json!({"metadata": {"name": "eastus-d2s"}})).refusing(
            json!({"metadata": {"name": "eastus.d2s"}}),
            "metadata.name",
            NAME,
        ),
        changed(
            json!({"spec": {"location": "eastus"}}),
            json!({"spec": {"location": "centralindia"}}),
            "spec.location",
            "PropertyChangeNotAllowed: location cannot be changed after creation",
        ),
        changed(
            json!({"spec": {"zones": ["3", "2", "1"]}}),
            json!({"spec": {"zones": ["1", "2"]}}),
            "spec.zones",
            "PropertyChangeNotAllowed: zones cannot be changed after creation",
        ),
        changed(
            reserving(&[reservation("d2s-z1", "Standard_D2s_v3", Some("1"), 0)]),
            reserving(&[other_size]),
            "spec.reservations[].vmSize",
            "PropertyChangeNotAllowed: vmSize cannot be changed after creation",
        ),
        changed(
            reserving(&[first(), reservation("d4s-z1", "Standard_D4s_v3", Some("1"), 2)]),
            reserving(&[other_zone]),
            "spec.reservations[].zone",
            "PropertyChangeNotAllowed: zone cannot be changed after creation",
        ),
    ]
}

fn of_reservations() -> Vec<Case> {
    let first = || reservation("d2s-z1", "Standard_D2s_v3", Some("1"), 40);
    let always = |before: Value, accepted: Value, refused: Value, field: &str, message: &str| {
        accepting(before, When::Always, accepted).refusing(refused, field, message)
    };
    let second = |size: &str, zone: &str| reserving(&[first(), reservation("second", size, Some(zone), 1)]);
    vec![
        always(
            reservation_group(),
            second("Standard_D2s_v3", "2"),
            second("Standard_D2s_v3", "1"),
            "spec.reservations",
            ONCE,
        ),
        always(
            regional(),
            reserving(&[
                reservation("d2s", "Standard_D2s_v3", None, 5),
                reservation("d4s", "Standard_D4s_v3", None, 5),
            ]),
            reserving(&[
                reservation("d2s", "Standard_D2s_v3", None, 5),
                reservation("more", "Standard_D2s_v3", None, 5),
            ]),
            "spec.reservations",
            ONCE,
        ),
        always(
            reservation_group(),
            second("Standard_D4s_v3", "1"),
            reserving(&[first(), reservation("second", "Standard_D4s_v3", None, 1)]),
            "spec.reservations",
            ZONE,
        ),
        always(
            regional(),
            reserving(&[reservation("d2s", "Standard_D2s_v3", None, 0)]),
            reserving(&[
                reservation("d2s", "Standard_D2s_v3", None, 5),
                reservation("d2s-z1", "Standard_D2s_v3", Some("1"), 5),
            ]),
            "spec.reservations",
            ZONE,
        ),
        always(
            reservation_group(),
            reserving(&[reservation("d2s-z1", "Standard_D2s_v3", Some("1"), 10_000)]),
            reserving(&[reservation("d2s-z1", "Standard_D2s_v3", Some("1"), -1)]),
            "spec.reservations[].capacity",
            "InvalidParameter: capacity must be 0 to 10000",
        ),
    ]
}

/// Rules of what names a group.
pub fn user_cases() -> Vec<Case> {
    let spot = "OperationNotAllowed: capacityReservationGroupRef must be absent where priority is Spot";
    let single = "OperationNotAllowed: singlePlacementGroup must be false where the profile has a capacityReservationGroupRef; \
                  absent means true in a Uniform set without zones and with more than one fault domain";
    let domains = "InvalidParameter: platformFaultDomainCount must be at most 3, and 1 with zones, where the profile has a \
                   capacityReservationGroupRef";
    let reference = || json!({"name": "eastus-d2s"});
    let set = |changes: Value| {
        merged(
            &json!({"spec": {"virtualMachineProfile": {"capacityReservationGroupRef": reference()}}}),
            &json!({"spec": changes}),
        )
    };
    let many = json!({"spec": {"singlePlacementGroup": false, "platformFaultDomainCount": 3}});
    let open = merged(&uniform_set(), &many);
    let bare = merged(&uniform_set(), &json!({"spec": {"platformFaultDomainCount": 3}}));
    vec![
        accepting(flex_vm(), When::OnCreation, json!({"spec": {"capacityReservationGroupRef": reference()}})).refusing(
            json!({"spec": {"capacityReservationGroupRef": reference(), "priority": "Spot"}}),
            "spec.capacityReservationGroupRef",
            spot,
        ),
        accepting(open.clone(), When::OnCreation, set(json!({}))).refusing(
            set(json!({"virtualMachineProfile": {"priority": "Spot"}})),
            "spec.virtualMachineProfile.capacityReservationGroupRef",
            spot,
        ),
        accepting(bare, When::Always, set(json!({"singlePlacementGroup": false}))).refusing(
            set(json!({})),
            "spec.singlePlacementGroup",
            single,
        ),
        accepting(flexible_set(), When::OnCreation, set(json!({}))).refusing(
            set(json!({"singlePlacementGroup": true})),
            "spec.singlePlacementGroup",
            single,
        ),
        accepting(open.clone(), When::OnCreation, set(json!({"platformFaultDomainCount": 3}))).refusing(
            set(json!({"platformFaultDomainCount": 4})),
            "spec.platformFaultDomainCount",
            domains,
        ),
        accepting(open, When::OnCreation, set(json!({"zones": ["1", "2"], "platformFaultDomainCount": 1}))).refusing(
            set(json!({"zones": ["1", "2"], "platformFaultDomainCount": 5})),
            "spec.platformFaultDomainCount",
            domains,
        ),
    ]
}

/// What looks forbidden and is not.
pub fn legal_changes() -> Vec<LegalChange> {
    let change = |before: Value, change: Value| LegalChange { before, change };
    vec![
        // What is taken out goes once it is free: the controller sees to that.
        change(reservation_group(), reserving(&[])),
        change(reservation_group(), json!({"spec": {"sharedWith": {"namespaces": ["team-b"]}}})),
        change(
            merged(&reservation_group(), &json!({"spec": {"sharedWith": {"namespaces": ["team-b"]}}})),
            json!({"spec": {"sharedWith": null}}),
        ),
        // An absent list and an empty one are the same.
        change(regional(), json!({"spec": {"zones": []}})),
    ]
}
