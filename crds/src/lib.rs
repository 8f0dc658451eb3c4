//! The API types of group `compute.scaleset.io`: what a person writes and what they read back.
//!
//! Types, bounds, defaults and the rules that the schema itself can check live here, and nothing else: no client, no
//! clock, no decision. [`manifests`] turns the types into the definitions in `crds/manifests`.
//!
//! A field enters the schema with the work that makes it do something; what is not here yet is refused by strict
//! field validation, never accepted and ignored. Types only grow.

pub mod admission;
pub mod autoscale_setting;
pub mod condition;
pub mod event;
pub mod flex_vm;
pub mod health;
pub mod impact;
pub mod instance;
pub mod labels;
pub mod load_balancing;
pub mod manifests;
pub mod operation;
pub mod os_upgrade;
pub mod profile;
pub mod reference;
pub mod repairs;
pub mod reservation;
pub mod reservation_group;
pub mod rolling_upgrade;
pub mod rules;
pub mod scale_set;
pub mod scale_set_vm;
pub mod scheduled_event;
pub mod spot;
pub mod vocabulary;

pub use autoscale_setting::{AutoscaleSetting, AutoscaleSettingSpec, AutoscaleSettingStatus};
pub use flex_vm::{FlexVM, FlexVMSpec};
pub use instance::InstanceStatus;
pub use operation::{OperationStatus, ScaleSetOperation, ScaleSetOperationSpec};
pub use profile::{VirtualMachineModel, VirtualMachineProfile};
pub use reservation_group::{CapacityReservationGroup, CapacityReservationGroupSpec, ReservationGroupStatus};
pub use scale_set::{ScaleSet, ScaleSetSpec, ScaleSetStatus};
pub use scale_set_vm::{ScaleSetVM, ScaleSetVMSpec};

/// The API group of every kind here.
pub const GROUP: &str = "compute.scaleset.io";
/// The one version served.
pub const VERSION: &str = "v1alpha1";
/// `GROUP/VERSION`, as it stands in `apiVersion`.
pub const API_VERSION: &str = "compute.scaleset.io/v1alpha1";
/// The finalizer that holds a set until its members are gone and an instance until its hardware is gone.
pub const FINALIZER: &str = "compute.scaleset.io/release";
/// The field manager of everything that the controller writes, but for a set's count.
pub const FIELD_MANAGER: &str = "scaleset-controller";
/// The field manager of the counts that the controller writes for an `AutoscaleSetting`.
pub const AUTOSCALER_FIELD_MANAGER: &str = "scaleset-autoscaler";
