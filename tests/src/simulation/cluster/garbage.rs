//! The garbage collector: children of owners that are gone are deleted; those of one that is deleted in the foreground
//! before it, and those of one that is orphaned lose it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::state::{Key, State, finalizers, is_terminating};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What an owner's deletion means for its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    Not,
    Foreground,
    Orphan,
}

impl State {
    pub(super) fn collect_garbage(&mut self) {
        self.writer = None;
        let owners: BTreeMap<String, (Key, Going)> =
            self.stored.iter().map(|(id, object)| (uid(object), (id.clone(), going(object)))).collect();
        let ids: Vec<Key> = self.stored.keys().cloned().collect();
        for id in ids {
            let Some(owner) = self.stored.get(&id).and_then(owner) else { continue };
            match owners.get(&owner).map(|(_, going)| *going) {
                None | Some(Going::Foreground) => drop(self.delete(&id)),
                Some(Going::Orphan) => {
                    self.merge(&id, &json!({"metadata": {"ownerReferences": null}}));
                }
                Some(Going::Not) => {}
            }
        }
        for (uid, (id, going)) in owners {
            let done = match going {
                Going::Not => false,
                Going::Foreground => !self.stored.values().any(|object| blocks(object, &uid)),
                Going::Orphan => !self.stored.values().any(|object| owner(object).as_ref() == Some(&uid)),
            };
            if done && let Some(object) = self.stored.get(&id) {
                let left: Vec<String> =
                    finalizers(object).into_iter().filter(|name| name != FOREGROUND && name != ORPHAN).collect();
                self.merge(&id, &json!({"metadata": {"finalizers": left}}));
            }
        }
    }
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// Objects here have one owner at most.
fn owner(object: &Value) -> Option<String> {
    object["metadata"]["ownerReferences"][0]["uid"].as_str().map(str::to_owned)
}

fn blocks(object: &Value, owner_uid: &str) -> bool {
    owner(object).as_deref() == Some(owner_uid)
        && object["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] == true
}

fn going(object: &Value) -> Going {
    let finalizers = finalizers(object);
    let has = |name: &str| is_terminating(object) && finalizers.iter().any(|finalizer| finalizer == name);
    match (has(FOREGROUND), has(ORPHAN)) {
        (false, false) => Going::Not,
        (true, _) => Going::Foreground,
        (false, true) => Going::Orphan,
    }
}
