//! Sends writes, each with a deadline, and asks only for the metadata of what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, Request, header};
use kube::Client;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::core::Request as Resource;
use scaleset_crds::{AUTOSCALER_FIELD_MANAGER, FIELD_MANAGER};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::debug;

use super::failure::{Outcome, classify};
use super::own_writes::Expectation;
use super::{ClusterError, Kind, NewObject, ObjectId, ObjectKey};
use crate::metrics::{Ending, Metrics, Verb};

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(10);
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// One write, ready to be sent.
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) key: ObjectKey,
    verb: Verb,
    uid: Option<String>,
    request: Result<Request<Vec<u8>>, kube::core::request::Error>,
}

/// A write that failed.
pub(super) struct Failed {
    pub(super) error: ClusterError,
    pub(super) outcome: Outcome,
}

/// Objects of a list.
#[derive(Debug, Deserialize)]
struct Listed {
    items: Vec<Answer>,
}

/// The part of an answer that matters: an object's metadata, or a `Status`, which has none.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: AnswerMetadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AnswerMetadata {
    uid: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
    finalizers: Vec<String>,
}

impl Call {
    pub(super) fn create(object: &NewObject) -> Self {
        let (kind, key, body) = object.encode();
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let request = Resource::new(kind.path(&key.namespace)).create(&parameters, body);
        Self { kind, key, verb: Verb::Create, uid: None, request }
    }

    /// A patch that carries another uid or an old version is refused as a whole.
    pub(super) fn patch(target: &ObjectId, mut merge_patch: Value) -> Self {
        let ObjectId { kind, key, uid, resource_version } = target;
        merge_patch["metadata"]["uid"] = json!(uid);
        merge_patch["metadata"]["resourceVersion"] = json!(resource_version);
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let request =
            Resource::new(kind.path(&key.namespace)).patch(&key.name, &parameters, &Patch::Merge(merge_patch));
        Self { kind: *kind, key: key.clone(), verb: Verb::Patch, uid: Some(uid.clone()), request }
    }

    /// Only a patch works on a set without a count; the version keeps a recreated set from being scaled.
    pub(super) fn scale(set: &ObjectId, replicas: i32) -> Self {
        let ObjectId { kind, key, uid, resource_version } = set;
        let patch = json!({"metadata": {"resourceVersion": resource_version}, "spec": {"replicas": replicas}});
        let manager = Some(AUTOSCALER_FIELD_MANAGER.to_owned());
        let parameters = PatchParams { field_manager: manager, ..PatchParams::default() };
        let resource = Resource::new(kind.path(&key.namespace));
        let request = resource.patch_subresource("scale", &key.name, &parameters, &Patch::Merge(patch));
        Self { kind: *kind, key: key.clone(), verb: Verb::Scale, uid: Some(uid.clone()), request }
    }

    /// Without the uid an apply would make the object anew if it has vanished.
    pub(super) fn apply_status(target: &ObjectId, status: &Value) -> Self {
        let ObjectId { kind, key, uid, resource_version: _ } = target;
        let body = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.as_str(),
            "metadata": {"namespace": key.namespace, "name": key.name, "uid": uid},
            "status": status,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let resource = Resource::new(kind.path(&key.namespace));
        let request = resource.patch_subresource("status", &key.name, &parameters, &Patch::Apply(body));
        Self { kind: *kind, key: key.clone(), verb: Verb::ApplyStatus, uid: Some(uid.clone()), request }
    }

    pub(super) fn delete(target: &ObjectId) -> Self {
        let ObjectId { kind, key, uid, resource_version } = target;
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: Some(uid.clone()),
                resource_version: Some(resource_version.clone()),
            }),
            ..DeleteParams::default()
        };
        let request = Resource::new(kind.path(&key.namespace)).delete(&key.name, &parameters);
        Self { kind: *kind, key: key.clone(), verb: Verb::Delete, uid: Some(uid.clone()), request }
    }
}

/// See the module.
pub(super) struct Writer {
    pub(super) client: Client,
    pub(super) metrics: Arc<Metrics>,
}

impl Writer {
    /// Sends one write; what the cache must show before it counts as seen.
    pub(super) async fn send(&self, call: Call, on_behalf_of: &str) -> Result<Expectation, Failed> {
        let Call { kind, key, verb, uid, request } = call;
        let begun = Instant::now();
        let answer = self.exchange::<Answer>(request.map(metadata_only), kind, &key).await;
        let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match answer.and_then(|answer| answer.about(kind, &key, uid.as_deref())) {
            Ok(answer) => {
                let expectation = answer.expectation(&key, uid);
                debug!(
                    kind = %kind, namespace = %key.namespace, name = %key.name, verb = verb.as_str(),
                    on_behalf_of, expectation = ?expectation, milliseconds, "written"
                );
                self.metrics.count_write(kind.as_str(), verb, Ending::Success);
                Ok(expectation)
            }
            Err(failed) => {
                debug!(
                    kind = %kind, namespace = %key.namespace, name = %key.name, verb = verb.as_str(),
                    on_behalf_of, error = %failed.error, outcome = ?failed.outcome, milliseconds, "not written"
                );
                let conflict = matches!(failed.error, ClusterError::Conflict { .. });
                let ending = if conflict { Ending::Conflict } else { Ending::Failure };
                self.metrics.count_write(kind.as_str(), verb, ending);
                Err(failed)
            }
        }
    }

    /// The uid of what has that name now, read from the API itself: by a list of one, so that no right to get is needed.
    pub(super) async fn live_uid(&self, kind: Kind, key: &ObjectKey) -> Result<Option<String>, ClusterError> {
        let named = ListParams::default().fields(&format!("metadata.name={}", key.name));
        let request = Resource::new(kind.path(&key.namespace)).list_metadata(&named);
        match self.exchange::<Listed>(request, kind, key).await {
            Ok(Listed { items }) => Ok(items.into_iter().next().map(|answer| answer.metadata.uid)),
            Err(failed) => Err(failed.error),
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        request: Result<Request<Vec<u8>>, kube::core::request::Error>,
        kind: Kind,
        key: &ObjectKey,
    ) -> Result<T, Failed> {
        let sent = async { self.client.request::<T>(request.map_err(kube::Error::BuildRequest)?).await };
        match timeout(CALL_MAX, sent).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let (error, outcome) = classify(&error, kind, key);
                Err(Failed { error, outcome })
            }
            Err(_) => {
                let message = format!("no answer within {} s", CALL_MAX.as_secs());
                Err(Failed { error: ClusterError::Unavailable { message }, outcome: Outcome::Unknown })
            }
        }
    }
}

fn metadata_only(mut request: Request<Vec<u8>>) -> Request<Vec<u8>> {
    request.headers_mut().insert(header::ACCEPT, METADATA_ONLY);
    request
}

impl Answer {
    /// The uid in an applied status keeps a vanished object from being made anew, but does not keep a recreated one
    /// from being written: the API ignores it there. Its own pass will put that right; this one is told.
    fn about(self, kind: Kind, key: &ObjectKey, uid: Option<&str>) -> Result<Self, Failed> {
        let other = uid.is_some_and(|uid| !self.metadata.uid.is_empty() && self.metadata.uid != uid);
        if !other {
            return Ok(self);
        }
        let (namespace, name) = (key.namespace.clone(), key.name.clone());
        Err(Failed { error: ClusterError::Gone { kind, namespace, name }, outcome: Outcome::NotDone })
    }

    /// An object that is marked for deletion and has no finalizer left is gone, although the API still describes it.
    fn expectation(self, key: &ObjectKey, target_uid: Option<String>) -> Expectation {
        let Self { kind, metadata } = self;
        let AnswerMetadata { uid, resource_version, deletion_timestamp, finalizers } = metadata;
        let let_go = deletion_timestamp.is_some() && finalizers.is_empty();
        if kind == "Status" || let_go {
            let uid = target_uid.unwrap_or(uid);
            return Expectation::Removal { key: key.clone(), uid };
        }
        resource_version.parse().map_or(Expectation::Unknown, Expectation::Version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> ObjectId {
        ObjectId {
            kind: Kind::ScaleSetVM,
            key: ObjectKey { namespace: "default".to_owned(), name: "web-1".to_owned() },
            uid: "u-1".to_owned(),
            resource_version: "7".to_owned(),
        }
    }

    fn body(call: Call) -> Value {
        serde_json::from_slice(call.request.unwrap().body()).unwrap()
    }

    fn expected(answer: Value) -> Expectation {
        let answer: Answer = serde_json::from_value(answer).unwrap();
        answer.expectation(&target().key, Some("u-1".to_owned()))
    }

    #[test]
    fn a_patch_is_guarded_and_keeps_its_own_metadata() {
        let call = Call::patch(&target(), json!({"metadata": {"labels": {"a": "b"}}, "spec": {"modelRevision": "r2"}}));
        assert_eq!(
            body(call),
            json!({
                "metadata": {"labels": {"a": "b"}, "uid": "u-1", "resourceVersion": "7"},
                "spec": {"modelRevision": "r2"},
            })
        );
        let call = Call::patch(&target(), json!({"spec": {}}));
        assert_eq!(body(call)["metadata"], json!({"uid": "u-1", "resourceVersion": "7"}));
    }

    #[test]
    fn a_status_names_its_object_by_uid() {
        let call = Call::apply_status(&target(), &json!({"vmId": "x"}));
        let uri = call.request.as_ref().unwrap().uri().to_string();
        assert!(uri.contains("/namespaces/default/scalesetvms/web-1/status?"), "{uri}");
        assert!(uri.contains("fieldManager=scaleset-controller") && uri.contains("force=true"), "{uri}");
        let metadata = json!({"namespace": "default", "name": "web-1", "uid": "u-1"});
        assert_eq!(
            body(call),
            json!({
                "apiVersion": "compute.scaleset.io/v1alpha1", "kind": "ScaleSetVM",
                "metadata": metadata, "status": {"vmId": "x"},
            })
        );
    }

    #[test]
    fn a_count_goes_through_scale_under_a_manager_of_its_own() {
        let call = Call::scale(&ObjectId { kind: Kind::ScaleSet, ..target() }, 3);
        let uri = call.request.as_ref().unwrap().uri().to_string();
        assert!(uri.contains("/namespaces/default/scalesets/web-1/scale?"), "{uri}");
        assert!(uri.contains("fieldManager=scaleset-autoscaler"), "{uri}");
        assert_eq!(body(call), json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 3}}));
    }

    #[test]
    fn a_delete_carries_both_preconditions() {
        let body = body(Call::delete(&target()));
        assert_eq!(body["preconditions"], json!({"uid": "u-1", "resourceVersion": "7"}));
        assert_eq!(body["propagationPolicy"], "Background");
    }

    #[test]
    fn answers_say_what_the_cache_must_show() {
        let metadata = json!({"uid": "u-1", "resourceVersion": "8", "finalizers": ["f"], "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let held = json!({"kind": "PartialObjectMetadata", "metadata": metadata});
        assert_eq!(expected(held), Expectation::Version(8));
        let removal = Expectation::Removal { key: target().key, uid: "u-1".to_owned() };
        let metadata = json!({"uid": "u-1", "resourceVersion": "7", "deletionTimestamp": "2026-01-01T00:00:00Z"});
        let let_go = json!({"kind": "PartialObjectMetadata", "metadata": metadata});
        assert_eq!(expected(let_go), removal);
        assert_eq!(expected(json!({"kind": "Status", "metadata": {}, "status": "Success"})), removal);
        let odd = json!({"kind": "PartialObjectMetadata", "metadata": {"uid": "u-1", "resourceVersion": "x"}});
        assert_eq!(expected(odd), Expectation::Unknown);
    }
}
