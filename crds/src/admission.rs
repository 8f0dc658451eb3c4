//! The guard of instances: a `ValidatingAdmissionPolicy` that lets only the controller make a `ScaleSetVM` and decide
//! where it is and which model it follows.
//!
//! The guard goes by the name of the user and not by a right, so that the slip of a cluster admin is refused too. It
//! covers creation, changes of five fields of the spec and the mark that a deletion is forced. It does not cover deletion
//! (which asks for a replacement), power, protection, labels, other annotations, finalizers and owner references: people, the
//! garbage collector and the
//! namespace controller go on as with any other object. Fields that nobody may change are guarded by the schema.

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec, ValidatingAdmissionPolicySpec, Validation,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::labels::FORCE_DELETION;
use crate::{GROUP, VERSION};

/// Name of the policy and of its binding.
pub const INSTANCE_GUARD: &str = "scaleset-instance-guard";

/// Fields of a `ScaleSetVM` that only the controller changes.
const GUARDED_FIELDS: [&str; 5] = ["modelRevision", "platformFaultDomain", "updateDomain", "placementGroup", "surplus"];

/// The policy and the binding that puts it in force in every namespace, for a controller that the API server knows as
/// `controller_username`. The server takes about a second to heed them.
pub fn instance_guard(controller_username: &str) -> (ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding) {
    let metadata = ObjectMeta { name: Some(INSTANCE_GUARD.to_owned()), ..ObjectMeta::default() };
    let policy = ValidatingAdmissionPolicy {
        metadata: metadata.clone(),
        spec: Some(ValidatingAdmissionPolicySpec {
            failure_policy: Some("Fail".to_owned()),
            match_constraints: Some(creation_and_change()),
            match_conditions: Some(vec![MatchCondition {
                name: "not-the-controller".to_owned(),
                expression: format!("request.userInfo.username != {}", quote(controller_username)),
            }]),
            validations: Some(std::iter::once(creation()).chain(GUARDED_FIELDS.map(change)).chain([mark()]).collect()),
            ..ValidatingAdmissionPolicySpec::default()
        }),
        ..ValidatingAdmissionPolicy::default()
    };
    let binding = ValidatingAdmissionPolicyBinding {
        metadata,
        spec: Some(ValidatingAdmissionPolicyBindingSpec {
            policy_name: Some(INSTANCE_GUARD.to_owned()),
            validation_actions: Some(vec!["Deny".to_owned()]),
            ..ValidatingAdmissionPolicyBindingSpec::default()
        }),
    };
    (policy, binding)
}

fn creation_and_change() -> MatchResources {
    MatchResources {
        resource_rules: Some(vec![NamedRuleWithOperations {
            api_groups: Some(vec![GROUP.to_owned()]),
            api_versions: Some(vec![VERSION.to_owned()]),
            resources: Some(vec!["scalesetvms".to_owned()]),
            operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
            ..NamedRuleWithOperations::default()
        }]),
        ..MatchResources::default()
    }
}

fn creation() -> Validation {
    Validation {
        expression: "request.operation != 'CREATE'".to_owned(),
        message: Some(
            "OperationNotAllowed: a ScaleSetVM is made by its set only; raise spec.replicas of the ScaleSet instead"
                .to_owned(),
        ),
        reason: Some("Forbidden".to_owned()),
        message_expression: None,
    }
}

fn change(field: &str) -> Validation {
    Validation {
        expression: format!("request.operation == 'CREATE' || object.spec.?{field} == oldObject.spec.?{field}"),
        message: Some(format!("PropertyChangeNotAllowed: spec.{field} is changed by the set's controller only")),
        reason: Some("Forbidden".to_owned()),
        message_expression: None,
    }
}

fn mark() -> Validation {
    let of = |object: &str| format!("{object}.metadata.?annotations[?{}]", quote(FORCE_DELETION));
    Validation {
        expression: format!("request.operation == 'CREATE' || {} == {}", of("object"), of("oldObject")),
        message: Some(format!(
            "PropertyChangeNotAllowed: annotation {FORCE_DELETION} is changed by the set's controller only"
        )),
        reason: Some("Forbidden".to_owned()),
        message_expression: None,
    }
}

/// A string in an expression; the escapes of JSON are those of CEL.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
