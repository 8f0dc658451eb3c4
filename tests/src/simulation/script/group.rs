//! Capacity reservation groups in stories.

use serde_json::{Value, json};

/// The spec of a group in `location`: `zones=1,2,3`, `share=team-b`, and `NAME=SIZE:CAPACITY` or `NAME=SIZE:CAPACITY:ZONE`
/// for each reservation.
pub(super) fn group_spec(location: &str, words: &[&str]) -> Value {
    let mut spec = json!({"location": location, "reservations": []});
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word} is not name=value"));
        match name {
            "zones" => spec["zones"] = json!(value.split(',').collect::<Vec<_>>()),
            "share" => spec["sharedWith"] = json!({"namespaces": value.split(',').collect::<Vec<_>>()}),
            name => {
                let list = spec["reservations"].as_array_mut().expect("it is one");
                list.push(reservation(name, value));
            }
        }
    }
    spec
}

fn reservation(name: &str, value: &str) -> Value {
    let parts: Vec<&str> = value.split(':').collect();
    let capacity: i32 = parts[1].parse().expect("a capacity is a number");
    let mut reservation = json!({"name": name, "vmSize": parts[0], "capacity": capacity});
    if let Some(zone) = parts.get(2) {
        reservation["zone"] = json!(zone);
    }
    reservation
}

/// What changes in the spec of a group: each reservation named gets its capacity, or is added; `NAME=gone` takes it out;
/// `share=` as at creation, `share=nobody`.
pub(super) fn changed(spec: &Value, words: &[&str]) -> Value {
    let mut list = spec["reservations"].as_array().cloned().unwrap_or_default();
    let mut patch = json!({});
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word} is not name=value"));
        if name == "share" {
            let namespaces = json!({"namespaces": value.split(',').collect::<Vec<_>>()});
            patch["sharedWith"] = if value == "nobody" { Value::Null } else { namespaces };
            continue;
        }
        let known = list.iter_mut().find(|one| one["name"] == name);
        match (known, value.parse::<i32>()) {
            (_, _) if value == "gone" => list.retain(|one| one["name"] != name),
            (Some(known), Ok(capacity)) => known["capacity"] = json!(capacity),
            (_, _) => list.push(reservation(name, value)),
        }
    }
    patch["reservations"] = json!(list);
    patch
}
