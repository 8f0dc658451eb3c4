//! What a cluster with one node offers from the start: a default storage class with volumes on this machine, and the
//! rights of the name server.

use std::path::Path;

use serde_json::{Value, json};

use crate::node::settings::NODE_NAME;

/// Volumes that are there; nothing makes more, and one that was released is not given out again.
pub(crate) const VOLUMES: u32 = 16;

/// A list of objects for `kubectl apply`; the volumes' directories are below `volumes`.
pub(crate) fn objects(volumes: &Path) -> String {
    let mut items = vec![storage_class(), dns_role(), dns_binding()];
    items.extend((0..VOLUMES).map(|number| volume(number, &volumes.join(number.to_string()))));
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn storage_class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    })
}

fn volume(number: u32, directory: &Path) -> Value {
    let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]});
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": format!("local-{number}")},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "standard",
            "local": {"path": directory},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    })
}

fn dns_role() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "scaleset-node-dns"},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "namespaces", "pods"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    })
}

fn dns_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "scaleset-node-dns"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scaleset-node-dns"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "scaleset-node-dns"}],
    })
}
