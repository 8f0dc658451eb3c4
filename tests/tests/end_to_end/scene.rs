//! One namespace: what a person does in it, what is seen in it, and what is waited for.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use scaleset_crds::condition::find;
use scaleset_crds::{FlexVM, ScaleSet, ScaleSetVM};
use scaleset_hardware::Machine;
use scaleset_hardware::sim::{Call, JournalEntry};
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::object_health::{Judgement, judge};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::kstatus::Reading;
use crate::world::World;

/// How long anything that is waited for may take.
pub const LIMIT: Duration = Duration::from_mins(1);
const LOG_LINES: usize = 40;

/// A namespace of a world.
pub struct Scene<'world> {
    pub world: &'world World,
    pub namespace: String,
}

impl<'world> Scene<'world> {
    /// Makes the namespace.
    pub async fn new(world: &'world World, namespace: &str) -> Self {
        let object = Namespace {
            metadata: kube::api::ObjectMeta { name: Some(namespace.to_owned()), ..Default::default() },
            ..Namespace::default()
        };
        let made = Api::all(world.client.clone()).create(&PostParams::default(), &object).await;
        made.unwrap_or_else(|error| panic!("namespace {namespace}: {error}"));
        Self { world, namespace: namespace.to_owned() }
    }

    /// kubectl in this namespace, as administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.world.cluster.kubectl(&[&["--namespace", &self.namespace], arguments].concat())
    }

    /// `kubectl apply`.
    pub fn apply(&self, object: &Value) -> anyhow::Result<()> {
        let arguments = ["--namespace", &self.namespace, "apply"];
        self.world.cluster.kubectl_with(&arguments, &object.to_string())?;
        Ok(())
    }

    /// A merge patch of a person.
    pub async fn patch<K>(&self, name: &str, patch: Value) -> anyhow::Result<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Clone + DeserializeOwned,
        K: std::fmt::Debug,
    {
        Ok(self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?)
    }

    /// The collection of a kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.world.client.clone(), &self.namespace)
    }

    pub async fn set(&self, name: &str) -> anyhow::Result<ScaleSet> {
        Ok(self.api().get(name).await?)
    }

    pub async fn flex_vm(&self, name: &str) -> anyhow::Result<FlexVM> {
        Ok(self.api().get(name).await?)
    }

    /// The Uniform instances, by id.
    pub async fn instances(&self) -> anyhow::Result<Vec<ScaleSetVM>> {
        let mut instances = self.api::<ScaleSetVM>().list(&ListParams::default()).await?.items;
        instances.sort_by_key(id);
        Ok(instances)
    }

    /// The ids of the Uniform instances.
    pub async fn ids(&self) -> anyhow::Result<Vec<u32>> {
        Ok(self.instances().await?.iter().map(id).collect())
    }

    pub async fn flex_vms(&self) -> anyhow::Result<Vec<FlexVM>> {
        Ok(self.api::<FlexVM>().list(&ListParams::default()).await?.items)
    }

    pub async fn machines(&self) -> anyhow::Result<Vec<Machine>> {
        self.world.hardware.machines(&self.namespace).await
    }

    pub async fn journal(&self) -> anyhow::Result<Vec<JournalEntry>> {
        self.world.hardware.journal(&self.namespace).await
    }

    /// How often a call took effect so far.
    pub async fn calls(&self, call: Call) -> anyhow::Result<usize> {
        Ok(effective(&self.journal().await?, call).len())
    }

    /// Waits until a call has taken effect so often, and no more often.
    pub async fn called(&self, call: Call, times: usize) -> anyhow::Result<()> {
        self.until(&format!("{call:?} took effect {times} times"), async || {
            let so_far = self.calls(call).await?;
            ensure!(so_far == times, "{so_far} times so far");
            Ok(())
        })
        .await
    }

    /// Asks until the answer is no error.
    pub async fn until<T>(&self, what: &str, ask: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
        scaleset_tests::local::until(what, LIMIT, ask).await
    }

    /// Waits until kstatus takes the set for finished, and answers it.
    pub async fn settled(&self, name: &str) -> anyhow::Result<ScaleSet> {
        self.until(&format!("set {name} is settled"), async || {
            let set = self.set(name).await?;
            let reading = reading(&set);
            ensure!(reading == Reading::Current, "it is {reading}");
            Ok(set)
        })
        .await
    }

    /// Waits until kstatus takes the FlexVM for finished, and answers it.
    pub async fn flex_vm_settled(&self, name: &str) -> anyhow::Result<FlexVM> {
        self.until(&format!("FlexVM {name} is settled"), async || {
            let vm = self.flex_vm(name).await?;
            let reading = reading(&vm);
            ensure!(reading == Reading::Current, "it is {reading}");
            Ok(vm)
        })
        .await
    }

    /// Waits until a condition of the set is as expected, reason included.
    pub async fn condition(&self, set: &str, expected: (&str, &str, &str)) -> anyhow::Result<ScaleSet> {
        let (condition, status, reason) = expected;
        self.until(&format!("{set} has {condition}={status}, reason {reason}"), async || {
            let object = self.set(set).await?;
            let conditions = object.status.iter().flat_map(|status| &status.conditions);
            let all: Vec<_> = conditions.cloned().collect();
            let found = find(&all, condition).context("no such condition")?;
            let seen = format!("{}, reason {}: {}", found.status, found.reason, found.message);
            ensure!(found.status == status && found.reason == reason, "it is {seen}");
            ensure!(found.observed_generation == object.metadata.generation, "it is of an older generation");
            Ok(object)
        })
        .await
    }

    /// Waits until an object is gone.
    pub async fn gone<K>(&self, name: &str) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Clone + DeserializeOwned,
        K: std::fmt::Debug + Serialize,
    {
        self.until(&format!("{name} is gone"), async || match self.api::<K>().get_opt(name).await? {
            None => Ok(()),
            Some(object) => anyhow::bail!("it is {}", reading(&object)),
        })
        .await
    }

    /// Waits until the hardware has no machine of this namespace.
    pub async fn no_machines(&self) -> anyhow::Result<()> {
        self.until("no machine is left", async || {
            let machines = self.machines().await?;
            ensure!(machines.is_empty(), "{} are", machines.len());
            Ok(())
        })
        .await
    }

    /// Waits for an event about an object, and answers its note.
    pub async fn event(&self, regarding: &str, reason: &str) -> anyhow::Result<String> {
        self.until(&format!("an event {reason} about {regarding}"), async || {
            let events = self.api::<Event>().list(&ListParams::default()).await?.items;
            let about = |event: &&Event| {
                event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref()) == Some(regarding)
            };
            let reasons: BTreeSet<&str> =
                events.iter().filter(about).filter_map(|event| event.reason.as_deref()).collect();
            let found = events.iter().filter(about).find(|event| event.reason.as_deref() == Some(reason));
            let found = found.with_context(|| format!("there are {reasons:?}"))?;
            Ok(found.note.clone().unwrap_or_default())
        })
        .await
    }

    /// What the machines are and what the objects are, one for one.
    pub async fn one_machine_for_each_instance(&self) -> anyhow::Result<()> {
        let machines: BTreeSet<String> = self.machines().await?.into_iter().map(|machine| machine.uid).collect();
        let uniform = self.instances().await?;
        let flexible = self.flex_vms().await?;
        let objects = uniform.iter().filter_map(ResourceExt::uid).chain(flexible.iter().filter_map(ResourceExt::uid));
        ensure!(machines == objects.collect(), "machines {machines:?} do not fit the objects");
        Ok(())
    }

    fn report(&self) -> String {
        let shown = |arguments: &[&str]| self.kubectl(arguments).unwrap_or_else(|error| error.to_string());
        format!(
            "namespace {}\n{}\n{}\n{}\nwhat the controller logged of it last:\n{}",
            self.namespace,
            shown(&["get", "vmss", "-o", "wide"]),
            shown(&["get", "scalesets", "-o", "yaml"]),
            shown(&["get", "events.events.k8s.io"]),
            self.world.controller.log_about(&format!(" {}/", self.namespace), LOG_LINES)
        )
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
    }
}

/// What kstatus makes of an object; Argo CD must make the same of it.
pub fn reading(object: &impl Serialize) -> Reading {
    let object = serde_json::to_value(object).expect("an object is plain data");
    let judgement = judge(&object).and_then(Judgement::agreed);
    judgement.unwrap_or_else(|error| panic!("{error:#}: {object}")).kstatus
}

/// The instance id as a number.
pub fn id(instance: &ScaleSetVM) -> u32 {
    instance.spec.instance_id.parse().expect("the schema lets only numbers through")
}

/// A change of a field of a set's profile, as a merge patch.
pub fn profile(change: Value) -> Value {
    let mut patch = json!({"spec": {}});
    patch["spec"]["virtualMachineProfile"] = change;
    patch
}

/// A regional Uniform set of small VMs in eastus, changed by a merge patch of its spec.
/// What is about something else has no extras.
pub fn uniform(name: &str, replicas: i32, change: Value) -> Value {
    let mut whole = json!({"overprovision": false});
    merge(&mut whole, change);
    set(name, "Uniform", replicas, whole)
}

/// A regional Flexible set of small VMs in eastus, changed by a merge patch of its spec.
pub fn flexible(name: &str, replicas: i32, change: Value) -> Value {
    set(name, "Flexible", replicas, change)
}

fn set(name: &str, mode: &str, replicas: i32, change: Value) -> Value {
    let mut spec = json!({
        "orchestrationMode": mode, "location": "eastus", "replicas": replicas, "virtualMachineProfile": model(),
    });
    merge(&mut spec, change);
    object("ScaleSet", name, spec)
}

/// A small FlexVM in eastus, changed by a merge patch of its spec.
pub fn vm(name: &str, change: Value) -> Value {
    let mut spec = model();
    merge(&mut spec, json!({"location": "eastus"}));
    merge(&mut spec, change);
    object("FlexVM", name, spec)
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let mut object = json!({"apiVersion": scaleset_crds::API_VERSION, "kind": kind, "metadata": {"name": name}});
    object["spec"] = spec;
    object
}

fn model() -> Value {
    json!({
        "vmSize": "Standard_D2s_v3",
        "osProfile": {"adminUsername": "azureuser"},
        "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "ubuntu-server", "sku": "22_04-lts"}},
        "networkProfile": {"networkInterfaces": [{"name": "nic0", "primary": true, "subnet": "default"}]},
    })
}

/// RFC 7386.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            target.as_object_mut().expect("it was made one").remove(&name);
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}
