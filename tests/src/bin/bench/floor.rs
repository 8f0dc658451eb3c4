//! The floor: what any controller must write, and nothing else. For each instance one create with the finalizer in its
//! body and one status; to remove it, one delete and one patch that takes the finalizer off. No watch, no cache, no logic.

use std::time::Instant;

use futures::{StreamExt, TryStreamExt};
use http::{HeaderValue, Request, header};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::Request as Resource;
use kube::{Client, Resource as _, ResourceExt};
use scaleset_crds::{FIELD_MANAGER, ScaleSet, ScaleSetVM};
use serde_json::{Value, json};

use crate::ours::{make_namespace, set};

/// More in flight buys nothing on two cores.
const IN_FLIGHT: usize = 16;
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// Writes as the controller, whose identity the guard of instances asks for.
pub(crate) struct Floor<'run> {
    pub(crate) admin: &'run Client,
    pub(crate) writer: &'run Client,
    /// An instance that the controller made and brought to Ready: the floor writes as many bytes.
    pub(crate) template: ScaleSetVM,
}

/// One round of the floor.
pub(crate) struct FloorRound {
    /// From the first create to the last status, wall time.
    pub(crate) seconds: f64,
    /// From the first delete until all are gone.
    pub(crate) removal_seconds: f64,
}

impl Floor<'_> {
    /// Makes so many instances Ready in a namespace of their own, and removes them.
    pub(crate) async fn run(&self, namespace: &str, instances: usize) -> anyhow::Result<FloorRound> {
        make_namespace(self.admin, namespace).await?;
        // Nobody acts on it: the controller is not running. It is there so that the garbage collector finds an owner.
        let sets: Api<ScaleSet> = Api::namespaced(self.admin.clone(), namespace);
        let owner = sets.create(&PostParams::default(), &set("floor", 0)?).await?;
        let resource = Resource::new(ScaleSetVM::url_path(&(), Some(namespace)));
        let bodies: Vec<(String, Value, Value)> =
            (0..instances).map(|number| self.bodies(namespace, &owner, number)).collect::<anyhow::Result<_>>()?;

        let started = Instant::now();
        self.each(&bodies, async |(name, object, status)| {
            self.send(resource.create(&PostParams::default(), serde_json::to_vec(object)?)?).await?;
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            self.send(resource.patch_subresource("status", name, &parameters, &Patch::Apply(status))?).await
        })
        .await?;
        let seconds = started.elapsed().as_secs_f64();

        let started = Instant::now();
        self.each(&bodies, async |(name, _, _)| {
            self.send(resource.delete(name, &DeleteParams::background())?).await?;
            let release = Patch::Merge(json!({"metadata": {"finalizers": []}}));
            self.send(resource.patch(name, &PatchParams::default(), &release)?).await
        })
        .await?;
        let removal_seconds = started.elapsed().as_secs_f64();
        sets.delete("floor", &DeleteParams::default()).await?;
        Ok(FloorRound { seconds, removal_seconds })
    }

    async fn each<'bodies>(
        &self,
        bodies: &'bodies [(String, Value, Value)],
        write: impl AsyncFn(&'bodies (String, Value, Value)) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let writes = futures::stream::iter(bodies).map(|body| write(body)).buffer_unordered(IN_FLIGHT);
        writes.try_collect::<Vec<()>>().await?;
        Ok(())
    }

    /// Like the controller, it asks for the metadata only.
    async fn send(&self, mut request: Request<Vec<u8>>) -> anyhow::Result<()> {
        request.headers_mut().insert(header::ACCEPT, METADATA_ONLY);
        self.writer.request_text(request).await?;
        Ok(())
    }

    /// Name, object and status of one instance: the template under another name.
    fn bodies(&self, namespace: &str, owner: &ScaleSet, number: usize) -> anyhow::Result<(String, Value, Value)> {
        let name = format!("floor-{number}");
        let mut object = self.template.clone();
        let status = object.status.take();
        let reference = owner.controller_owner_ref(&());
        object.metadata = kube::api::ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.to_owned()),
            labels: self.template.metadata.labels.clone(),
            finalizers: self.template.metadata.finalizers.clone(),
            owner_references: reference.map(|reference| vec![reference]),
            ..Default::default()
        };
        object.spec.scale_set_ref.name = owner.name_any();
        object.spec.instance_id = number.to_string();
        let (api_version, kind) = (scaleset_crds::API_VERSION, "ScaleSetVM");
        let metadata = json!({"name": name, "namespace": namespace});
        let status = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "status": status});
        Ok((name, serde_json::to_value(object)?, status))
    }
}
