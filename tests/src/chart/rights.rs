//! What each account of a chart may do, and what an API server's audit log says that it did: the two must be the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, bail};
use serde_json::Value;

/// One thing that one may do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Group of the API; empty for the core.
    pub group: String,
    /// Resource, with its subresource: `scalesets/status`.
    pub resource: String,
    /// Verb, as RBAC has it.
    pub verb: String,
}

/// Who has rights by what a chart installs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// A service account, by the user that it is to the API server.
    Account(String),
    /// A group of people, by a role of ours: what they may do by other roles is not our affair.
    Group { name: String, role: String },
}

/// Rights by who has them, or has used them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights(BTreeMap<Holder, BTreeSet<Right>>);

/// How users begin that are nodes.
const NODES: &str = "system:node:";

/// What no log of the suite has to show, and why.
const UNSEEN: &[(&str, &str, &str)] = &[
    // Asked of the authoriser by the admission plugin OwnerReferencesPermissionEnforcement, not by a request.
    ("compute.scaleset.io", "scalesets/finalizers", "update"),
];

/// What may be refused, and why.
const IN_VAIN: &[(&str, &str, &str)] = &[
    // Helm deletes roles right after the Deployment: whoever is uninstalled gives up its lease in vain, and nobody waits
    // for it.
    ("coordination.k8s.io", "leases", "update"),
];

impl Rights {
    /// Those that roles and bindings among `objects` give to service accounts and to groups. Another subject is an error.
    pub fn granted(objects: &[Value]) -> anyhow::Result<Self> {
        let mut granted = Self::default();
        let of_kind = |object: &&Value, kinds: [&str; 2]| kinds.iter().any(|kind| object["kind"] == **kind);
        for binding in objects.iter().filter(|object| of_kind(object, ["RoleBinding", "ClusterRoleBinding"])) {
            let reference = &binding["roleRef"];
            let role = objects
                .iter()
                .find(|object| object["kind"] == reference["kind"] && object["metadata"]["name"] == reference["name"]);
            let role = role.with_context(|| format!("no such role: {reference}"))?;
            for subject in list(&binding["subjects"]) {
                let holder = Holder::of(subject, text(&reference["name"]))?;
                granted.0.entry(holder).or_default().extend(rights_of(role)?);
            }
        }
        Ok(granted)
    }

    /// Adds what those that are known have used, by an audit log of one JSON object a line. Answers the requests that were
    /// refused to accounts. A group has used what the API server says that it has allowed by its role.
    pub fn add_used(&mut self, log: &str) -> anyhow::Result<Vec<String>> {
        let mut refused = Vec::new();
        for line in log.lines().filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let object = &event["objectRef"];
            // Without an object it is a URL such as those of discovery, which everybody may read.
            let Some(rights) = self.used_by(&event).filter(|_| !object.is_null()) else { continue };
            let resource = match (text(&object["resource"]), text(&object["subresource"])) {
                (resource, "") => resource.to_owned(),
                (resource, subresource) => format!("{resource}/{subresource}"),
            };
            let right = |verb: &str| Right {
                group: text(&object["apiGroup"]).to_owned(),
                resource: resource.clone(),
                verb: verb.to_owned(),
            };
            let verb = text(&event["verb"]);
            if event["annotations"]["authorization.k8s.io/decision"] == "forbid" {
                if right(verb).is_one_of(IN_VAIN) {
                    continue;
                }
                refused.push(format!("{}: {}", text(&event["user"]["username"]), right(verb)));
                continue;
            }
            rights.insert(right(verb));
            // An apply that makes the object is asked for the right to create as well.
            if verb == "patch" && event["responseStatus"]["code"] == 201 {
                rights.insert(right("create"));
            }
        }
        Ok(refused)
    }

    /// Whose request it was. A node is in the group of everybody and has rights of its own, which come a moment after a pod does:
    /// until then the API server may name our role for what it asks.
    fn used_by(&mut self, event: &Value) -> Option<&mut BTreeSet<Right>> {
        let user = text(&event["user"]["username"]);
        let account = Holder::Account(user.to_owned());
        if self.0.contains_key(&account) {
            return self.0.get_mut(&account);
        }
        if user.starts_with(NODES) {
            return None;
        }
        let reason = text(&event["annotations"]["authorization.k8s.io/reason"]);
        let is_reason = |holder: &Holder| match holder {
            Holder::Account(_) => false,
            Holder::Group { name, role } => reason.ends_with(&format!("Role {role:?} to Group {name:?}")),
        };
        self.0.iter_mut().find(|(holder, _)| is_reason(holder)).map(|(_, rights)| rights)
    }

    /// The same holders, with nothing yet.
    #[must_use]
    pub fn nobody_has_used(&self) -> Self {
        Self(self.0.keys().map(|holder| (holder.clone(), BTreeSet::new())).collect())
    }

    /// What is here and not in `other`, except what no log can show.
    pub fn beyond(&self, other: &Self) -> Vec<String> {
        let seen = |right: &&Right| !right.is_one_of(UNSEEN);
        let none = BTreeSet::new();
        let of_holder = |(holder, rights): (&Holder, &BTreeSet<Right>)| -> Vec<String> {
            let others = other.0.get(holder).unwrap_or(&none);
            rights.difference(others).filter(seen).map(|right| format!("{holder}: {right}")).collect()
        };
        self.0.iter().flat_map(of_holder).collect()
    }

    /// Those that nobody of ours needs, whatever a log says: all of something, or something of a Secret.
    pub fn too_wide(&self) -> Vec<String> {
        let wide = |right: &&Right| {
            [&right.group, &right.resource, &right.verb].iter().any(|part| part.contains('*'))
                || right.resource.split('/').next() == Some("secrets")
        };
        let of_holder = |(holder, rights): (&Holder, &BTreeSet<Right>)| -> Vec<String> {
            rights.iter().filter(wide).map(|right| format!("{holder}: {right}")).collect()
        };
        self.0.iter().flat_map(of_holder).collect()
    }

    /// The rights of one account, sorted.
    pub fn of(&self, user: &str) -> impl Iterator<Item = &Right> {
        self.0.get(&Holder::Account(user.to_owned())).into_iter().flatten()
    }

    /// The users of accounts.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|holder| match holder {
            Holder::Account(user) => Some(user.as_str()),
            Holder::Group { .. } => None,
        })
    }

    /// What groups of people may do, one right a line.
    pub fn of_groups(&self) -> Vec<String> {
        let of_group = self.0.iter().filter(|(holder, _)| match holder {
            Holder::Account(_) => false,
            Holder::Group { .. } => true,
        });
        of_group.flat_map(|(holder, rights)| rights.iter().map(move |right| format!("{holder}: {right}"))).collect()
    }

    /// Everybody who has rights, and how many.
    pub fn counts(&self) -> impl Iterator<Item = (String, usize)> {
        self.0.iter().map(|(holder, rights)| (holder.to_string(), rights.len()))
    }
}

impl Holder {
    fn of(subject: &Value, role: &str) -> anyhow::Result<Self> {
        let name = text(&subject["name"]);
        match text(&subject["kind"]) {
            "ServiceAccount" => {
                Ok(Self::Account(format!("system:serviceaccount:{}:{name}", text(&subject["namespace"]))))
            }
            "Group" => Ok(Self::Group { name: name.to_owned(), role: role.to_owned() }),
            kind => bail!("role {role} is given to {kind} {name}, whose use is not compared"),
        }
    }
}

impl Right {
    fn is_one_of(&self, rights: &[(&str, &str, &str)]) -> bool {
        rights.contains(&(self.group.as_str(), self.resource.as_str(), self.verb.as_str()))
    }
}

fn rights_of(role: &Value) -> anyhow::Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    for rule in list(&role["rules"]) {
        let parts = ["apiGroups", "resources", "verbs"].map(|field| list(&rule[field]));
        if parts.iter().any(|part| part.is_empty()) {
            bail!("a rule of {} is about something else than resources: {rule}", role["metadata"]["name"]);
        }
        let [groups, resources, verbs] = parts;
        for (group, resource, verb) in groups.iter().flat_map(|group| {
            resources.iter().flat_map(move |resource| verbs.iter().map(move |verb| (group, resource, verb)))
        }) {
            let [group, resource, verb] = [group, resource, verb].map(|part| text(part).to_owned());
            rights.insert(Right { group, resource, verb });
        }
    }
    Ok(rights)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(user) => formatter.write_str(user),
            Self::Group { name, role } => write!(formatter, "group {name} by role {role}"),
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, resource, verb } = self;
        let dot = if group.is_empty() { "" } else { "." };
        write!(formatter, "{verb} {resource}{dot}{group}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn granted(verbs: &[&str]) -> Rights {
        let role = json!({"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]});
        let binding = json!({"kind": "ClusterRoleBinding", "roleRef": {"kind": "ClusterRole", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "n", "name": "a"}]});
        Rights::granted(&[role, binding]).unwrap()
    }

    fn event(verb: &str, code: u16, decision: &str) -> String {
        json!({"user": {"username": "system:serviceaccount:n:a"}, "verb": verb, "responseStatus": {"code": code},
            "objectRef": {"resource": "configmaps"}, "annotations": {"authorization.k8s.io/decision": decision}})
        .to_string()
    }

    #[test]
    fn what_is_granted_and_not_used_is_found_and_what_is_used_and_not_granted() {
        for (granted_verbs, events, unused, missing) in [
            (&["patch"][..], vec![("patch", 200)], &[][..], &[][..]),
            (&["patch", "create"], vec![("patch", 201)], &[], &[]),
            (&["patch", "create"], vec![("patch", 200)], &["system:serviceaccount:n:a: create configmaps"], &[]),
            (&["patch"], vec![("patch", 200), ("get", 200)], &[], &["system:serviceaccount:n:a: get configmaps"]),
        ] {
            let granted = granted(granted_verbs);
            let mut used = granted.nobody_has_used();
            let log: Vec<String> = events.iter().map(|(verb, code)| event(verb, *code, "allow")).collect();
            assert_eq!(used.add_used(&log.join("\n")).unwrap(), Vec::<String>::new());
            assert_eq!((granted.beyond(&used), used.beyond(&granted)), (owned(unused), owned(missing)), "{events:?}");
        }
    }

    /// Whoever is in the group may have other roles: what these allow is not what the group's is for.
    #[test]
    fn a_group_has_used_what_was_allowed_by_its_role_and_by_no_other() {
        let role = json!({"kind": "Role", "metadata": {"name": "r"}, "rules": [
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}]});
        let binding = |kind: &str| {
            json!({"kind": "RoleBinding", "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [{"kind": kind, "name": "g"}]})
        };
        let granted = Rights::granted(&[role.clone(), binding("Group")]).unwrap();
        assert_eq!(granted.of_groups(), ["group g by role r: list configmaps", "group g by role r: watch configmaps"]);
        let mut used = granted.nobody_has_used();
        let by = |user: &str, verb: &str, role: &str| {
            let reason = format!(r#"RBAC: allowed by RoleBinding "r/n" of Role "{role}" to Group "g""#);
            json!({"user": {"username": user, "groups": ["g"]}, "verb": verb,
                "responseStatus": {"code": 200}, "objectRef": {"resource": "configmaps"}, "annotations":
                {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": reason}})
            .to_string()
        };
        let (people, node) = ("somebody", "system:node:first");
        let events = [by(people, "list", "r"), by(people, "watch", "other"), by(people, "get", "other")];
        let log = [events.join("\n"), by(node, "watch", "r"), by(node, "get", "r")].join("\n");
        assert_eq!(used.add_used(&log).unwrap(), Vec::<String>::new());
        assert_eq!(granted.beyond(&used), ["group g by role r: watch configmaps"]);
        assert!(used.beyond(&granted).is_empty());
        let refused = Rights::granted(&[role, binding("User")]).unwrap_err().to_string();
        assert!(refused.contains("role r is given to User g"), "{refused}");
    }

    #[test]
    fn a_refusal_is_told_and_is_no_use() {
        let granted = granted(&["get"]);
        let mut used = granted.nobody_has_used();
        let refused = used.add_used(&event("get", 403, "forbid")).unwrap();
        assert_eq!(refused, ["system:serviceaccount:n:a: get configmaps"]);
        assert_eq!(granted.beyond(&used).len(), 1);
    }

    #[test]
    fn a_star_is_too_wide() {
        assert_eq!(granted(&["*"]).too_wide(), ["system:serviceaccount:n:a: * configmaps"]);
        assert!(granted(&["get"]).too_wide().is_empty());
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }
}
