//! Cases of `ScaleSetOperation`.

use serde_json::{Value, json};

use crate::case::{Case, When, accepting};
use crate::objects::operation;

/// Every rule of the kind.
pub fn cases() -> Vec<Case> {
    let case = |accepted: Value, refused: Value, field: &str, message: &str| {
        accepting(operation(), When::OnCreation, json!({"spec": accepted})).refusing(
            json!({"spec": refused}),
            &format!("spec.{field}"),
            message,
        )
    };
    let flex_vm = |operation_type: &str| json!({"target": {"kind": "FlexVM"}, "type": operation_type});
    let sets_only = "OperationNotAllowed: ManualUpgrade, ReimageAll, StartRollingUpgrade and CancelRollingUpgrade need a \
                     target of kind ScaleSet";
    let named = "InvalidParameter: instanceIds must name the VMs of a ManualUpgrade, a Delete, a SimulateEviction and an \
                 ApproveScheduledEvent without parameters.eventId, or be [\"*\"] for all";
    let rolling = "InvalidParameter: instanceIds must be absent where type is StartRollingUpgrade or CancelRollingUpgrade, \
                   which are about the set";
    vec![
        accepting(operation(), When::OnChange, json!({"metadata": {"labels": {"team": "web"}}})).refusing(
            json!({"spec": {"type": "Start"}}),
            "spec.target",
            "PropertyChangeNotAllowed: the spec of an operation cannot be changed after creation; create another operation",
        ),
        case(
            flex_vm("Restart"),
            json!({"target": {"kind": "FlexVM"}, "instanceIds": ["newvm"]}),
            "instanceIds",
            "InvalidParameter: instanceIds must be absent where target.kind is FlexVM, which is one VM",
        ),
        case(flex_vm("Delete"), flex_vm("ReimageAll"), "type", sets_only),
        case(
            json!({"type": "PowerOff", "instanceIds": ["*"]}),
            json!({"type": "PowerOff", "instanceIds": []}),
            "instanceIds",
            "InvalidParameter: instanceIds must not be empty; leave it out, or write [\"*\"], for all VMs",
        ),
        case(
            json!({"type": "ManualUpgrade", "instanceIds": ["*"]}),
            json!({"type": "ManualUpgrade"}),
            "instanceIds",
            named,
        ),
        case(
            json!({"type": "SimulateEviction", "instanceIds": ["0"]}),
            json!({"type": "SimulateEviction"}),
            "instanceIds",
            named,
        ),
        case(
            json!({"type": "Delete", "instanceIds": ["0", "3"]}),
            json!({"type": "Delete"}),
            "instanceIds",
            named,
        ),
        case(
            json!({"instanceIds": ["0", "3"]}),
            json!({"instanceIds": ["0", "*"]}),
            "instanceIds",
            "InvalidParameter: instanceIds must be [\"*\"] alone or a list of ids without *",
        ),
        case(
            json!({"type": "CancelRollingUpgrade"}),
            json!({"type": "CancelRollingUpgrade", "instanceIds": ["*"]}),
            "instanceIds",
            rolling,
        ),
        case(
            json!({"type": "PowerOff", "parameters": {"skipShutdown": true}}),
            json!({"type": "Deallocate", "parameters": {"skipShutdown": true}}),
            "parameters.skipShutdown",
            "InvalidParameter: skipShutdown must only be set where type is PowerOff",
        ),
    ]
}
