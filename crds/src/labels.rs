//! Labels and annotations under `compute.scaleset.io/`.

/// Label: the set that a member belongs to, by name.
pub const SCALE_SET: &str = "compute.scaleset.io/scale-set";
/// Label: the member's instance id (a number for Uniform, the VM's name for Flexible).
pub const INSTANCE_ID: &str = "compute.scaleset.io/instance-id";
/// Label: the zone that the member was placed in.
pub const ZONE: &str = "compute.scaleset.io/zone";
/// Label: the fault domain that the member was placed in.
pub const FAULT_DOMAIN: &str = "compute.scaleset.io/fault-domain";
/// Label: the model revision that the member is to follow.
pub const MODEL_REVISION: &str = "compute.scaleset.io/model-revision";
/// Label: name of the capacity reservation group that the member is to use.
pub const CAPACITY_RESERVATION_GROUP: &str = "compute.scaleset.io/capacity-reservation-group";
/// Label on members that the set made from its profile; its only value is [`MADE_BY_SET`].
pub const MADE_BY: &str = "compute.scaleset.io/made-by";
/// The value of [`MADE_BY`].
pub const MADE_BY_SET: &str = "set";
/// Label on a `ConfigMap` in the controller's namespace that tells what a region offers: the location.
pub const LOCATION: &str = "compute.scaleset.io/location";
/// Annotation on a member that the set made: number of the last rolling upgrade that touched it and, after a space, when,
/// scenario time (RFC 3339).
pub const ROLLING_UPGRADE: &str = "compute.scaleset.io/rolling-upgrade";
/// Annotation on a member that the set made: the OS disk that it is to have. `22.04.2 after NAME`: a fresh one of that image
/// version in the place of the disk NAME. `restore NAME`: the disk NAME, which it had before. It says nothing to a member
/// whose OS disk was replaced otherwise since.
pub const OS_DISK: &str = "compute.scaleset.io/os-disk";
/// Annotation on a member: its last automatic repair that is not known to have mended it. `2 Restart TIME`: the second in a
/// row, begun then (scenario time, RFC 3339). `2 Replace TIME NAME`, on a new member: it takes the place of NAME.
pub const REPAIR: &str = "compute.scaleset.io/repair";
/// Annotation on a member that the set made and is about to scale in, `"true"`: it is then deleted without asking its guest
/// to shut down. By itself it does nothing.
pub const FORCE_DELETION: &str = "compute.scaleset.io/force-deletion";
/// Annotation on a `FlexVM` that a set made: the running number that its name was derived from.
pub const INSTANCE_NUMBER: &str = "compute.scaleset.io/instance-number";
/// Annotation on an instance: `"true"` lets the object go while its hardware does not answer.
pub const ABANDON_HARDWARE: &str = "compute.scaleset.io/abandon-hardware";
/// Annotation on an instance: uid of the operation that wrote its `spec.powerState` last.
pub const POWER_OPERATION: &str = "compute.scaleset.io/power-operation";
/// Annotation on a set: the target that a sudden drop of `spec.replicas` is meant to reach, or `Any`.
pub const CONFIRM_SCALE_IN: &str = "compute.scaleset.io/confirm-scale-in";
/// Annotation on a set: uid of the operation Delete that lowered its `spec.replicas` last.
pub const LAST_DELETE: &str = "compute.scaleset.io/last-delete";
