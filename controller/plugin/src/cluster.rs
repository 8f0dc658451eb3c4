//! The cluster that a kubeconfig names, and what is looked up in it. What is not there is told with what is.

use anyhow::{Context, bail};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{Api, ListParams, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource, ResourceExt};
use scaleset_crds::vocabulary::OrchestrationMode;
use scaleset_crds::{FlexVM, InstanceStatus, ScaleSet, ScaleSetVM, labels};
use serde::de::DeserializeOwned;

use crate::arguments::Connection;

/// Who changes are made by, as `managedFields` name them.
const FIELD_MANAGER: &str = "kubectl-scaleset";

/// How objects are changed. Strictly: otherwise the server drops a property that it does not know, and says nothing.
pub(crate) fn patch_parameters() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default().validation_strict() }
}

/// Lists the VMs that name a set.
pub(crate) fn members_of(set: &ScaleSet) -> ListParams {
    ListParams::default().fields(&format!("spec.scaleSetRef.name={}", set.name_any()))
}

/// A namespace of a cluster.
pub(crate) struct Cluster {
    client: Client,
    pub(crate) namespace: String,
    controller_namespace: String,
}

/// A VM of a set.
#[derive(Clone, Debug)]
pub(crate) enum Instance {
    Uniform(Box<ScaleSetVM>),
    Flexible(Box<FlexVM>),
}

impl Instance {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Uniform(vm) => vm.name_any(),
            Self::Flexible(vm) => vm.name_any(),
        }
    }

    /// The number of a Uniform instance, the name of a Flexible VM.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Uniform(vm) => vm.spec.instance_id.clone(),
            Self::Flexible(vm) => vm.name_any(),
        }
    }

    /// What Azure calls such a resource: a Flexible set's VM is one like any other, an instance of a Uniform set is not.
    pub(crate) const fn resource_type(&self) -> &'static str {
        match self {
            Self::Uniform(_) => "ScaleSetVM",
            Self::Flexible(_) => "VM",
        }
    }

    pub(crate) fn zone(&self) -> Option<&str> {
        match self {
            Self::Uniform(vm) => vm.spec.zone.as_deref(),
            Self::Flexible(vm) => vm.spec.zone.as_deref(),
        }
    }

    pub(crate) fn status(&self) -> InstanceStatus {
        let status = match self {
            Self::Uniform(vm) => vm.status.clone(),
            Self::Flexible(vm) => vm.status.clone(),
        };
        status.unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Self::Uniform(vm) => crate::output::object(vm.as_ref()),
            Self::Flexible(vm) => crate::output::object(vm.as_ref()),
        }
    }
}

impl Cluster {
    pub(crate) async fn connect(connection: &Connection) -> anyhow::Result<Self> {
        let Connection { kubeconfig, context, namespace, controller_namespace } = connection;
        let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
        let config = match kubeconfig {
            Some(path) => {
                let read = Kubeconfig::read_from(path).with_context(|| path.display().to_string())?;
                Config::from_custom_kubeconfig(read, &options).await.context("kubeconfig")?
            }
            None if context.is_some() => Config::from_kubeconfig(&options).await.context("kubeconfig")?,
            None => Config::infer().await.context("no kubeconfig: set KUBECONFIG or --kubeconfig")?,
        };
        let namespace = namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let controller_namespace = controller_namespace.clone();
        Ok(Self { client: Client::try_from(config)?, namespace, controller_namespace })
    }

    /// The same cluster, another namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Self {
        let (client, controller_namespace) = (self.client.clone(), self.controller_namespace.clone());
        Self { client, namespace: namespace.to_owned(), controller_namespace }
    }

    /// The same cluster, the controller's namespace.
    pub(crate) fn of_controller(&self) -> Self {
        self.in_namespace(&self.controller_namespace)
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Every object of a kind.
    pub(crate) async fn list<K>(&self, parameters: &ListParams) -> anyhow::Result<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        Ok(self.api::<K>().list(parameters).await.map_err(|error| self.explain(error))?.items)
    }

    pub(crate) async fn set(&self, name: &str) -> anyhow::Result<ScaleSet> {
        match self.api::<ScaleSet>().get_opt(name).await.map_err(|error| self.explain(error))? {
            Some(set) => Ok(set),
            None => bail!("no scale set {name} in namespace {}; {}", self.namespace, self.there_are().await),
        }
    }

    async fn there_are(&self) -> String {
        let sets: Vec<ScaleSet> = self.list(&ListParams::default()).await.unwrap_or_default();
        if sets.is_empty() {
            // A list of a kind that the server does not know is an error that says more.
            return match self.api::<ScaleSet>().list(&ListParams::default().limit(1)).await {
                Ok(_) => "there is none".to_owned(),
                Err(error) => self.explain(error).to_string(),
            };
        }
        let names: Vec<String> = sets.iter().map(ResourceExt::name_any).collect();
        format!("there are: {}", names.join(", "))
    }

    /// The revisions that a set owns.
    pub(crate) async fn revisions(&self, set: &ScaleSet) -> anyhow::Result<Vec<ControllerRevision>> {
        let kept = ListParams::default().labels(&format!("{}={}", labels::SCALE_SET, set.name_any()));
        let uid = set.uid().unwrap_or_default();
        let mut revisions: Vec<ControllerRevision> = self.list(&kept).await?;
        revisions.retain(|revision| revision.owner_references().iter().any(|owner| owner.uid == uid));
        Ok(revisions)
    }

    /// The VMs of a set: its instances by id, or its FlexVMs by name.
    pub(crate) async fn instances(&self, set: &ScaleSet) -> anyhow::Result<Vec<Instance>> {
        let of_set = members_of(set);
        match set.spec.orchestration_mode {
            OrchestrationMode::Uniform => {
                let mut vms: Vec<ScaleSetVM> = self.list(&of_set).await?;
                vms.sort_by_key(|vm| vm.spec.instance_id.parse::<i64>().unwrap_or(i64::MAX));
                Ok(vms.into_iter().map(|vm| Instance::Uniform(Box::new(vm))).collect())
            }
            OrchestrationMode::Flexible => {
                let mut vms: Vec<FlexVM> = self.list(&of_set).await?;
                // A member that was not let go no longer names its set, but carries its label.
                let marked = ListParams::default().labels(&format!("{}={}", labels::SCALE_SET, set.name_any()));
                let named: Vec<String> = vms.iter().map(ResourceExt::name_any).collect();
                let kept = self.list::<FlexVM>(&marked).await?.into_iter();
                vms.extend(kept.filter(|vm| !named.contains(&vm.name_any())));
                vms.sort_by_key(ResourceExt::name_any);
                Ok(vms.into_iter().map(|vm| Instance::Flexible(Box::new(vm))).collect())
            }
        }
    }

    /// One VM of a set by its id.
    pub(crate) async fn instance(&self, set: &ScaleSet, id: &str) -> anyhow::Result<Instance> {
        let instances = self.instances(set).await?;
        let ids: Vec<String> = instances.iter().map(Instance::id).collect();
        match instances.into_iter().find(|instance| instance.id() == id) {
            Some(instance) => Ok(instance),
            None if ids.is_empty() => bail!("scale set {} has no VMs", set.name_any()),
            None => bail!("scale set {} has no instance {id}; there are: {}", set.name_any(), ids.join(", ")),
        }
    }

    /// What the API server's answer means here.
    pub(crate) fn explain(&self, error: kube::Error) -> anyhow::Error {
        let kube::Error::Api(status) = &error else {
            return anyhow::Error::new(error).context("the cluster does not answer");
        };
        let unknown_kind = ["could not find the requested", "page not found"];
        if status.code == 404 && unknown_kind.iter().any(|words| status.message.contains(words)) {
            return anyhow::anyhow!("the cluster does not know scale sets; install the definitions in crds/manifests");
        }
        if status.code == 403 {
            return anyhow::anyhow!("not allowed in namespace {}: {}", self.namespace, status.message);
        }
        // The server repeats the whole object before it says what is wrong with it.
        match status.message.rsplit_once("strict decoding error: ") {
            Some((_, unknown)) => anyhow::anyhow!("{unknown}; kubectl explain tells which fields there are"),
            None => anyhow::anyhow!("{}", status.message),
        }
    }
}
