//! The merge patch (RFC 7386) that turns one JSON document into another.

use serde_json::{Map, Value};

/// The smallest merge patch from `from` to `to`; an empty object where they are equal. Lists are replaced as a whole.
pub fn merge_patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        match before.get(key) {
            Some(same) if same == value => {}
            Some(other) => {
                patch.insert(key.clone(), merge_patch(other, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_patched_and_what_is_gone_is_null() {
        let from = json!({"a": 1, "b": {"c": 2, "d": 3}, "list": [1, 2], "same": "x"});
        let to = json!({"a": 1, "b": {"c": 4}, "list": [2], "same": "x", "new": true});
        assert_eq!(merge_patch(&from, &to), json!({"b": {"c": 4, "d": null}, "list": [2], "new": true}));
        assert_eq!(merge_patch(&to, &to), json!({}));
    }
}
