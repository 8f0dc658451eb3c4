//! Cases of what VMs are told of before it comes about.

use serde_json::{Value, json};

use crate::case::{Case, LegalChange, When, accepting};
use crate::objects::{flex_vm, operation, uniform_set};
use crate::profile::of_both;

fn notification(profile: &Value) -> Value {
    json!({"scheduledEventsProfile": {"terminateNotificationProfile": profile}})
}

fn image_notification(profile: &Value) -> Value {
    json!({"scheduledEventsProfile": {"osImageNotificationProfile": profile}})
}

/// Every rule about them.
pub fn cases() -> Vec<Case> {
    [notices(), approvals()].concat()
}

fn approvals() -> Vec<Case> {
    let case = |accepted: Value, refused: Value, field: &str, message: &str| {
        accepting(operation(), When::OnCreation, json!({"spec": accepted})).refusing(
            json!({"spec": refused}),
            &format!("spec.{field}"),
            message,
        )
    };
    vec![
        case(
            json!({"type": "ApproveScheduledEvent", "parameters": {"eventId": "e"}}),
            json!({"type": "ApproveScheduledEvent"}),
            "instanceIds",
            "InvalidParameter: instanceIds must name the VMs of a ManualUpgrade, a Delete, a SimulateEviction and an \
             ApproveScheduledEvent without parameters.eventId, or be [\"*\"] for all",
        ),
        case(
            json!({"type": "ApproveScheduledEvent", "instanceIds": ["0"]}),
            json!({"type": "Restart", "parameters": {"eventId": "e"}}),
            "parameters.eventId",
            "InvalidParameter: eventId must only be set where type is ApproveScheduledEvent",
        ),
    ]
}

fn notices() -> Vec<Case> {
    let field = "scheduledEventsProfile";
    let timeout = format!("{field}.terminateNotificationProfile.notBeforeTimeoutSeconds");
    let range = "InvalidParameter: notBeforeTimeoutSeconds must be 300 to 900";
    let of_range = |accepted: i32, refused: i32| {
        let seconds = |seconds: i32| notification(&json!({"enable": true, "notBeforeTimeoutSeconds": seconds}));
        of_both(When::OnCreation, &seconds(accepted), &seconds(refused), &timeout, range)
    };
    let of_spot = |enable: bool| {
        let mut profile = notification(&json!({"enable": enable}));
        profile["priority"] = json!("Spot");
        profile
    };
    let spot = "OperationNotAllowed: terminateNotificationProfile.enable must not be true where priority is Spot";
    let image = format!("{field}.osImageNotificationProfile.notBeforeTimeoutSeconds");
    let of_image = |refused: i32| {
        let seconds = |seconds: i32| image_notification(&json!({"enable": true, "notBeforeTimeoutSeconds": seconds}));
        let message = "InvalidParameter: notBeforeTimeoutSeconds must be 900";
        of_both(When::OnCreation, &seconds(900), &seconds(refused), &image, message)
    };
    let of_spot = of_both(When::OnCreation, &of_spot(false), &of_spot(true), field, spot);
    [of_range(300, 299), of_range(900, 901), of_image(899), of_image(901), of_spot].concat()
}

/// What may change.
pub fn legal_changes() -> Vec<LegalChange> {
    let profiles = [json!({"enable": true}), json!({"enable": true, "notBeforeTimeoutSeconds": 600}), json!(null)];
    let images = [json!({"enable": true}), json!({"enable": true, "notBeforeTimeoutSeconds": 900}), json!(null)];
    let all = profiles.iter().map(notification).chain(images.iter().map(image_notification));
    let change = |profile: Value| json!({"spec": {"virtualMachineProfile": profile}});
    let profiles = all.map(|profile| LegalChange { before: uniform_set(), change: change(profile) });
    let sorts = ["userInitiatedReboot", "userInitiatedRedeploy"];
    let policies = sorts.iter().flat_map(|sort| {
        let events =
            [json!({"automaticallyApprove": false}), json!({"automaticallyApprove": true}), json!({}), json!(null)];
        events.map(|event| json!({"spec": {"scheduledEventsPolicy": {*sort: event}}}))
    });
    let of_both =
        |change: Value| [uniform_set(), flex_vm()].map(|before| LegalChange { before, change: change.clone() });
    profiles.chain(policies.flat_map(of_both)).collect()
}
