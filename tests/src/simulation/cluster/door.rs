//! The door that the passes see: reads from the cache, guarded writes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::ControllerRevision;
use scaleset_controller::cluster::{
    Cluster, ClusterError, EventType, Freshness, GroupUsers, Kind, Members, NewObject, Notice, ObjectId, ObjectKey,
};
use scaleset_crds::{AutoscaleSetting, CapacityReservationGroup, FlexVM, ScaleSet, ScaleSetOperation, ScaleSetVM};
use serde_json::{Value, json};

use super::state::{Cached, State};
use super::trouble::{CrashPoint, Fate, unavailable};
use super::{SimulatedCluster, Verb};

/// How soon a pass should look again for what it wrote.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl SimulatedCluster {
    fn read<T: Send + Sync + 'static>(&self, kind: Kind, key: &ObjectKey) -> Option<Arc<T>> {
        self.lock().cached.get(&(kind, key.clone())).map(typed)
    }

    fn list<T: Send + Sync + 'static>(&self, kind: Kind, wanted: impl Fn(&Value) -> bool) -> Vec<Arc<T>> {
        let state = self.lock();
        let of_kind = state.cached.iter().filter(|((of, _), object)| *of == kind && wanted(&object.json));
        of_kind.map(|(_, object)| typed(object)).collect()
    }

    /// Carries out one write of the object with `uid`, unless something goes wrong.
    async fn write(
        &self,
        uid: &str,
        asked: (Verb, Kind),
        write: impl FnOnce(&mut State) -> Result<(), ClusterError> + Send,
    ) -> Result<(), ClusterError> {
        self.lock().note(asked);
        let (fate, result) = self.attempt(uid, write);
        if let Fate::Dies(_) = fate {
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
        result
    }

    fn attempt(
        &self,
        uid: &str,
        write: impl FnOnce(&mut State) -> Result<(), ClusterError>,
    ) -> (Fate, Result<(), ClusterError>) {
        let mut state = self.lock();
        let fate = state.trouble.next();
        let result = match fate {
            Fate::Refused | Fate::Dies(CrashPoint::Before) => Err(unavailable("the server is overloaded")),
            Fate::Goes | Fate::AnswerLost | Fate::Dies(CrashPoint::After) => {
                state.writer = Some(uid.to_owned());
                let result = write(&mut state);
                state.writer = None;
                result
            }
        };
        match fate {
            Fate::AnswerLost => (fate, result.and(Err(unavailable("the connection was lost")))),
            Fate::Goes | Fate::Refused | Fate::Dies(_) => (fate, result),
        }
    }
}

fn typed<T: Send + Sync + 'static>(object: &Cached) -> Arc<T> {
    Arc::clone(&object.typed).downcast().expect("the cache has it by its kind")
}

fn owned_by(object: &Value, uid: &str) -> bool {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(|owner| owner["uid"] == uid)
}

#[async_trait]
impl Cluster for SimulatedCluster {
    fn scale_set(&self, key: &ObjectKey) -> Option<Arc<ScaleSet>> {
        self.read(Kind::ScaleSet, key)
    }

    fn scale_set_vm(&self, key: &ObjectKey) -> Option<Arc<ScaleSetVM>> {
        self.read(Kind::ScaleSetVM, key)
    }

    fn flex_vm(&self, key: &ObjectKey) -> Option<Arc<FlexVM>> {
        self.read(Kind::FlexVM, key)
    }

    fn operation(&self, key: &ObjectKey) -> Option<Arc<ScaleSetOperation>> {
        self.read(Kind::ScaleSetOperation, key)
    }

    fn operations(&self, target: &ObjectKey) -> Vec<Arc<ScaleSetOperation>> {
        self.list(Kind::ScaleSetOperation, |object| object["spec"]["target"]["name"] == target.name.as_str())
    }

    fn reservation_group(&self, key: &ObjectKey) -> Option<Arc<CapacityReservationGroup>> {
        self.read(Kind::CapacityReservationGroup, key)
    }

    fn users_of_group(&self, _: &ObjectKey) -> GroupUsers {
        // Who is woken by what is not played here: every pass has its turn.
        GroupUsers::default()
    }

    fn autoscale_setting(&self, key: &ObjectKey) -> Option<Arc<AutoscaleSetting>> {
        self.read(Kind::AutoscaleSetting, key)
    }

    fn autoscale_settings(&self, set: &ObjectKey) -> Vec<Arc<AutoscaleSetting>> {
        self.list(Kind::AutoscaleSetting, |object| object["spec"]["scaleTargetRef"]["name"] == set.name.as_str())
    }

    fn members(&self, set: &ObjectKey, set_uid: &str) -> Members {
        let refers = |object: &Value| object["spec"]["scaleSetRef"]["name"] == set.name.as_str();
        Members {
            scale_set_vms: self.list(Kind::ScaleSetVM, |object| owned_by(object, set_uid) || refers(object)),
            flex_vms: self.list(Kind::FlexVM, |object| {
                let accepted = object["status"]["scaleSet"].as_str();
                owned_by(object, set_uid) || accepted.map_or_else(|| refers(object), |name| name == set.name)
            }),
        }
    }

    fn revisions(&self, set_uid: &str) -> Vec<Arc<ControllerRevision>> {
        self.list(Kind::ControllerRevision, |object| owned_by(object, set_uid))
    }

    fn revision(&self, key: &ObjectKey) -> Option<Arc<ControllerRevision>> {
        self.read(Kind::ControllerRevision, key)
    }

    fn freshness(&self, on_behalf_of: &str) -> Freshness {
        if self.lock().owes(on_behalf_of) { Freshness::Behind(LOOK_AGAIN) } else { Freshness::Current }
    }

    async fn create(&self, on_behalf_of: &str, object: NewObject) -> Result<(), ClusterError> {
        let json = |result: serde_json::Result<Value>| result.expect("an object is plain data");
        let (kind, value) = match object {
            NewObject::ScaleSetVM(vm) => (Kind::ScaleSetVM, json(serde_json::to_value(vm))),
            NewObject::FlexVM(vm) => (Kind::FlexVM, json(serde_json::to_value(vm))),
            NewObject::ControllerRevision(revision) => (Kind::ControllerRevision, json(serde_json::to_value(revision))),
        };
        self.write(on_behalf_of, (Verb::Create, kind), |state| state.insert(kind, value)).await
    }

    async fn patch(&self, on_behalf_of: &str, target: &ObjectId, merge_patch: Value) -> Result<(), ClusterError> {
        let patch = |state: &mut State| {
            let id = state.guarded(target)?;
            state.merge(&id, &merge_patch);
            Ok(())
        };
        self.write(on_behalf_of, (Verb::Patch, target.kind), patch).await
    }

    async fn scale(&self, on_behalf_of: &str, set: &ObjectId, replicas: i32) -> Result<(), ClusterError> {
        let scale = |state: &mut State| {
            let id = state.guarded(set)?;
            state.merge(&id, &json!({"spec": {"replicas": replicas}}));
            Ok(())
        };
        self.write(on_behalf_of, (Verb::Scale, Kind::ScaleSet), scale).await
    }

    async fn apply_status(&self, on_behalf_of: &str, target: &ObjectId, status: Value) -> Result<(), ClusterError> {
        let apply = |state: &mut State| {
            let id = state.of_uid(target)?;
            state.set_status(&id, status);
            Ok(())
        };
        self.write(on_behalf_of, (Verb::ApplyStatus, target.kind), apply).await
    }

    async fn delete(&self, on_behalf_of: &str, target: &ObjectId) -> Result<(), ClusterError> {
        let delete = |state: &mut State| {
            let id = state.guarded(target)?;
            state.delete(&id);
            Ok(())
        };
        self.write(on_behalf_of, (Verb::Delete, target.kind), delete).await
    }

    fn autoscaler_wish(&self, _: &ObjectKey) -> Result<Option<i32>, ClusterError> {
        Ok(None)
    }

    fn has_autoscaler(&self, set: &ObjectKey) -> Result<bool, ClusterError> {
        Ok(self.lock().autoscaled.contains(&set.name))
    }

    async fn publish(&self, notice: Notice) -> Result<(), ClusterError> {
        let Notice { regarding, event_type, reason, action: _, note } = notice;
        let severity = match event_type {
            EventType::Normal => "event",
            EventType::Warning => "warning",
        };
        let mut state = self.lock();
        state.note((Verb::Publish, regarding.kind));
        state.tell(format!("{}: {severity} {}: {note}", regarding.key.name, reason.as_str()));
        Ok(())
    }
}
