//! Where each kind lives in the API.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::Resource;
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup, FlexVM, ScaleSet, ScaleSetOperation, ScaleSetVM};

use super::{Kind, NewObject, ObjectKey};

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::ScaleSet,
        Self::ScaleSetVM,
        Self::FlexVM,
        Self::ScaleSetOperation,
        Self::CapacityReservationGroup,
        Self::AutoscaleSetting,
        Self::ControllerRevision,
    ];

    /// The kind as it stands in `kind:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScaleSet => "ScaleSet",
            Self::ScaleSetVM => "ScaleSetVM",
            Self::FlexVM => "FlexVM",
            Self::ScaleSetOperation => "ScaleSetOperation",
            Self::CapacityReservationGroup => "CapacityReservationGroup",
            Self::AutoscaleSetting => "AutoscaleSetting",
            Self::ControllerRevision => "ControllerRevision",
        }
    }

    /// The kind as it stands in `apiVersion:`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::ScaleSet
            | Self::ScaleSetVM
            | Self::FlexVM
            | Self::ScaleSetOperation
            | Self::CapacityReservationGroup
            | Self::AutoscaleSetting => scaleset_crds::API_VERSION,
            Self::ControllerRevision => "apps/v1",
        }
    }

    /// The kind's name among the resources of its API group.
    pub(super) fn plural(self) -> String {
        let plural = match self {
            Self::ScaleSet => ScaleSet::plural(&()),
            Self::ScaleSetVM => ScaleSetVM::plural(&()),
            Self::FlexVM => FlexVM::plural(&()),
            Self::ScaleSetOperation => ScaleSetOperation::plural(&()),
            Self::CapacityReservationGroup => CapacityReservationGroup::plural(&()),
            Self::AutoscaleSetting => AutoscaleSetting::plural(&()),
            Self::ControllerRevision => ControllerRevision::plural(&()),
        };
        plural.into_owned()
    }

    /// The path of the kind's objects in a namespace.
    pub(super) fn path(self, namespace: &str) -> String {
        match self {
            Self::ScaleSet => ScaleSet::url_path(&(), Some(namespace)),
            Self::ScaleSetVM => ScaleSetVM::url_path(&(), Some(namespace)),
            Self::FlexVM => FlexVM::url_path(&(), Some(namespace)),
            Self::ScaleSetOperation => ScaleSetOperation::url_path(&(), Some(namespace)),
            Self::CapacityReservationGroup => CapacityReservationGroup::url_path(&(), Some(namespace)),
            Self::AutoscaleSetting => AutoscaleSetting::url_path(&(), Some(namespace)),
            Self::ControllerRevision => ControllerRevision::url_path(&(), Some(namespace)),
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl NewObject {
    /// Its kind, its key, and itself as JSON.
    pub(super) fn encode(&self) -> (Kind, ObjectKey, Vec<u8>) {
        let (kind, metadata, body) = match self {
            Self::ScaleSetVM(object) => (Kind::ScaleSetVM, &object.metadata, serde_json::to_vec(object)),
            Self::FlexVM(object) => (Kind::FlexVM, &object.metadata, serde_json::to_vec(object)),
            Self::ControllerRevision(object) => {
                (Kind::ControllerRevision, &object.metadata, serde_json::to_vec(object))
            }
        };
        let key = ObjectKey {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        };
        (kind, key, body.expect("an object is plain data"))
    }
}
