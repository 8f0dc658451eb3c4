//! Small legal objects, and changes of them.

use serde_json::{Value, json};

/// A JSON merge patch: objects are merged, null removes, anything else replaces.
pub fn merged(object: &Value, patch: &Value) -> Value {
    let (Value::Object(fields), Value::Object(changes)) = (object, patch) else { return patch.clone() };
    let mut fields = fields.clone();
    for (name, change) in changes {
        match change {
            Value::Null => {
                fields.remove(name);
            }
            Value::Object(_) => {
                let before = fields.get(name).cloned().unwrap_or_else(|| json!({}));
                fields.insert(name.clone(), merged(&before, change));
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                fields.insert(name.clone(), change.clone());
            }
        }
    }
    Value::Object(fields)
}

fn object(kind: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "compute.scaleset.io/v1alpha1",
        "kind": kind,
        "metadata": {"namespace": "default", "name": "web"},
        "spec": spec,
    })
}

/// The fields of a VM profile that have no default.
pub fn profile() -> Value {
    json!({
        "vmSize": "Standard_D2s_v3",
        "osProfile": {"adminUsername": "azureuser"},
        "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
        "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
    })
}

/// A Uniform set without zones.
pub fn uniform_set() -> Value {
    let spec = json!({"orchestrationMode": "Uniform", "location": "eastus", "virtualMachineProfile": profile()});
    object("ScaleSet", &spec)
}

/// A Flexible set without zones, with a profile.
pub fn flexible_set() -> Value {
    let spec = json!({"orchestrationMode": "Flexible", "location": "eastus", "virtualMachineProfile": profile()});
    object("ScaleSet", &spec)
}

/// The instance 3 of the set `web`.
pub fn scale_set_vm() -> Value {
    let spec = json!({"scaleSetRef": {"name": "web"}, "instanceId": "3", "modelRevision": "web-1"});
    merged(&object("ScaleSetVM", &spec), &json!({"metadata": {"name": "web-3"}}))
}

/// A VM that stands alone.
pub fn flex_vm() -> Value {
    object("FlexVM", &merged(&json!({"location": "eastus"}), &profile()))
}

/// A group over three zones with a reservation in the first.
pub fn reservation_group() -> Value {
    let spec = json!({
        "location": "eastus", "zones": ["1", "2", "3"],
        "reservations": [{"name": "d2s-z1", "vmSize": "Standard_D2s_v3", "zone": "1", "capacity": 40}],
    });
    object("CapacityReservationGroup", &spec)
}

/// Rules for the set `web`: between 2 and 10 VMs.
pub fn autoscale_setting() -> Value {
    let capacity = json!({"minimum": 2, "maximum": 10, "default": 2});
    let spec = json!({
        "scaleTargetRef": {"name": "web"}, "enabled": true, "profiles": [{"name": "usual", "capacity": capacity}],
    });
    object("AutoscaleSetting", &spec)
}

/// A restart of every VM of the set `web`.
pub fn operation() -> Value {
    let spec = json!({"target": {"kind": "ScaleSet", "name": "web"}, "type": "Restart"});
    object("ScaleSetOperation", &spec)
}
