//! What the schema refuses by itself, as CEL rules, and pieces of schema that several types share.
//!
//! Every refusal starts with Azure's error code and names its field by path; the code also decides the reason that the
//! API server prints. Shapes that matter:
//!
//! - A rule about an optional field stands on the object that holds the field, with `has()` on both sides: a rule on
//!   the field itself does not run when the field is set for the first time or taken away.
//! - Strings are compared plainly, never through optional access, whose estimated cost the server refuses.
//! - Bounds of the schema that would answer without a code are kept wide where a code is wanted; the rule holds the
//!   real range.
//!
//! Rules that need another object, the region or the hardware are not here but with the controller.

pub(crate) mod autoscale;
pub(crate) mod health;
pub(crate) mod instance;
pub(crate) mod load_balancing;
pub(crate) mod operation;
pub(crate) mod os_upgrade;
pub(crate) mod overprovision;
pub(crate) mod profile;
pub(crate) mod repairs;
pub(crate) mod reservation;
pub(crate) mod reservation_group;
pub(crate) mod rolling_upgrade;
pub(crate) mod scale_set;
pub(crate) mod scheduled_event;
pub(crate) mod spot;

use kube::core::{Reason, Rule};
use schemars::{Schema, SchemaGenerator, json_schema};

/// Azure's codes that a rule can answer with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    /// A value or a combination of values is not legal.
    InvalidParameter,
    /// The combination is not supported.
    BadRequest,
    /// The state that is asked for is not available here.
    OperationNotAllowed,
    /// The field cannot be changed, or not in this direction.
    PropertyChangeNotAllowed,
    /// A set with several fault domains takes no existing VM, and lets none go.
    VmssDoesNotSupportAttachingExistingVMMultiFD,
    /// Only Spot VMs are evicted.
    EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines,
    /// Only Spot VMs have a maximum price.
    MaxPriceIsSupportedOnlyForAzureSpotVirtualMachines,
    /// The maximum price is no price.
    MaxPriceValueInvalid,
    /// A VM keeps the priority of its creation.
    VMPriorityCannotBeApplied,
    /// Only sets of Spot VMs restore VMs.
    SpotRestorationIsSupportedOnlyForAzureSpotScaleSets,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidParameter => "InvalidParameter",
            Self::BadRequest => "BadRequest",
            Self::OperationNotAllowed => "OperationNotAllowed",
            Self::PropertyChangeNotAllowed => "PropertyChangeNotAllowed",
            Self::VmssDoesNotSupportAttachingExistingVMMultiFD => "VmssDoesNotSupportAttachingExistingVMMultiFD",
            Self::EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines => {
                "EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines"
            }
            Self::MaxPriceIsSupportedOnlyForAzureSpotVirtualMachines => {
                "MaxPriceIsSupportedOnlyForAzureSpotVirtualMachines"
            }
            Self::MaxPriceValueInvalid => "MaxPriceValueInvalid",
            Self::VMPriorityCannotBeApplied => "VMPriorityCannotBeApplied",
            Self::SpotRestorationIsSupportedOnlyForAzureSpotScaleSets => {
                "SpotRestorationIsSupportedOnlyForAzureSpotScaleSets"
            }
        }
    }

    fn reason(self) -> Reason {
        match self {
            Self::InvalidParameter | Self::BadRequest | Self::MaxPriceValueInvalid => Reason::FieldValueInvalid,
            Self::OperationNotAllowed
            | Self::PropertyChangeNotAllowed
            | Self::VmssDoesNotSupportAttachingExistingVMMultiFD
            | Self::EvictionPolicyCanBeSetOnlyOnAzureSpotVirtualMachines
            | Self::MaxPriceIsSupportedOnlyForAzureSpotVirtualMachines
            | Self::VMPriorityCannotBeApplied
            | Self::SpotRestorationIsSupportedOnlyForAzureSpotScaleSets => Reason::FieldValueForbidden,
        }
    }
}

/// Refuses the object with `code` at `path` unless `expression` holds. `path` is relative to the object that the rule
/// stands on and starts with a dot; `message` says what must hold.
pub(crate) fn require(expression: &str, code: Code, path: &str, message: &str) -> Rule {
    Rule::new(expression)
        .message(format!("{}: {message}", code.as_str()).as_str())
        .field_path(path)
        .reason(code.reason())
}

/// A required field that keeps the value of its creation.
pub(crate) fn immutable(field: &str) -> Rule {
    unchanged(field, &format!("self.{field} == oldSelf.{field}"))
}

/// An optional field that keeps the value of its creation; none stays none.
pub(crate) fn immutable_optional(field: &str) -> Rule {
    let expression =
        format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})");
    unchanged(field, &expression)
}

fn unchanged(field: &str, expression: &str) -> Rule {
    let message = format!("{field} cannot be changed after creation");
    require(expression, Code::PropertyChangeNotAllowed, &format!(".{field}"), &message)
}

/// A number or a percentage, bounded so that a rule on it is cheap; the rule holds the real range.
pub(crate) fn int_or_percent(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true, "maxLength": 16, "minimum": -1_000_000, "maximum": 1_000_000,
    })
}

/// A name that is a DNS label of at most `max` characters: other names and labels are made of it.
pub(crate) fn dns_label_name(max: u8) -> Rule {
    let expression = format!("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{{0,{}}}[a-z0-9])?$')", max - 2);
    let message = format!(
        "the name must be a DNS label of at most {max} characters: lower-case letters, digits and '-', \
         starting and ending with a letter or a digit"
    );
    require(&expression, Code::InvalidParameter, ".metadata.name", &message)
}

/// Tags as Azure bounds them: names of at most 512 characters, values of at most 256. The number of entries is bounded
/// where the map is used.
pub(crate) fn tag_map(_: &mut SchemaGenerator) -> Schema {
    bounded_map(512, "tag names")
}

/// Plain settings of an extension.
pub(crate) fn settings_map(_: &mut SchemaGenerator) -> Schema {
    bounded_map(256, "names of settings")
}

fn bounded_map(key_length: u16, keys: &str) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": 256},
        "x-kubernetes-validations": [{
            "rule": format!("self.all(name, size(name) <= {key_length})"),
            "message": format!("InvalidParameter: {keys} must have at most {key_length} characters"),
        }],
    })
}
