//! One control plane for all tests of this binary, with the schemas, the guard and the controller's role in it.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Config, Error};
use scaleset_control_plane::ControlPlane;
use scaleset_crds::FIELD_MANAGER;
use scaleset_crds::admission::instance_guard;
use scaleset_crds::manifests::custom_resource_definitions;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// An API server and the identities that knock at it.
pub struct Server {
    /// Cluster admin under the controller's name: neither the role nor the guard stands in its way.
    pub unhindered: Client,
    /// Cluster admin.
    pub admin: Client,
    /// The controller, with its own role and nothing else.
    pub controller: Client,
    /// An ordinary user, without any right until a test grants some.
    pub user: Client,
    plane: &'static ControlPlane,
}

/// Whether a write is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// Checked, not kept.
    Yes,
    /// Kept.
    No,
}

/// Name of the ordinary user.
pub const USER: &str = "alice";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime can be built"));
static SERVER: OnceCell<Server> = OnceCell::const_new();

/// Runs a test against the server, which the first caller starts.
pub fn run(test: impl AsyncFnOnce(&'static Server)) {
    RUNTIME.block_on(async { test(SERVER.get_or_init(start).await).await });
}

async fn start() -> Server {
    let plane = tokio::task::spawn_blocking(ControlPlane::shared).await.expect("the control plane starts");
    let server = Server {
        unhindered: client(plane, FIELD_MANAGER, &["system:masters"]).await,
        admin: client_from(&plane.admin_kubeconfig()).await,
        controller: client(plane, FIELD_MANAGER, &[]).await,
        user: client(plane, USER, &[]).await,
        plane,
    };
    server.install().await;
    server
}

async fn client(plane: &ControlPlane, user: &str, groups: &[&str]) -> Client {
    client_from(&plane.kubeconfig_for(user, groups).expect("a certificate for the user")).await
}

async fn client_from(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig can be read");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("the kubeconfig is complete")).expect("a client can be built from it")
}

impl Server {
    /// Installs what `make up` installs.
    async fn install(&self) {
        for definition in custom_resource_definitions() {
            self.apply(&definition).await;
            let name = definition.metadata.name.as_deref().expect("a definition has a name");
            let established = await_condition(Api::all(self.admin.clone()), name, conditions::is_crd_established());
            let established = tokio::time::timeout(Duration::from_secs(30), established).await;
            established.expect("a definition is established within 30 s").expect("the server can be watched");
        }
        let (policy, binding) = instance_guard(FIELD_MANAGER);
        self.apply(&policy).await;
        self.apply(&binding).await;
        let role = include_str!("../../../controller/manifests/role.yaml");
        for document in role.split("\n---\n") {
            self.apply(&from_yaml(document)).await;
        }
    }

    /// Server-side apply as admin.
    pub async fn apply(&self, object: &impl Serialize) {
        let object = serde_json::to_value(object).expect("a manifest is plain data");
        let parameters = PatchParams::apply("schema-tests").force();
        let name = name(&object);
        let applied = api(&self.admin, &object).patch(name, &parameters, &Patch::Apply(dynamic(&object))).await;
        applied.unwrap_or_else(|error| panic!("{} {name} is refused: {error}", object["kind"]));
    }

    /// Creates an object, unhindered.
    pub async fn create(&self, object: &Value, dry_run: DryRun) -> Result<Value, Error> {
        create_as(&self.unhindered, object, dry_run).await
    }

    /// Replaces a stored object, unhindered.
    pub async fn replace(&self, object: &Value, dry_run: DryRun) -> Result<Value, Error> {
        let parameters = PostParams { dry_run: dry_run == DryRun::Yes, ..PostParams::default() };
        let replaced = api(&self.unhindered, object).replace(name(object), &parameters, &dynamic(object)).await?;
        Ok(plain(&replaced))
    }

    /// Writes a status as the controller does, and answers the object.
    pub async fn apply_status(&self, object: &Value, status: Value) -> Result<Value, Error> {
        let body = serde_json::json!({
            "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {"name": name(object)}, "status": status,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let applied =
            api(&self.controller, object).patch_status(name(object), &parameters, &Patch::Apply(&body)).await?;
        Ok(plain(&applied))
    }

    /// Deletes an object that has no finalizers.
    pub async fn delete(&self, object: &Value) {
        let deleted = api(&self.unhindered, object).delete(name(object), &DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("{} {} cannot be deleted: {error}", object["kind"], name(object)));
    }

    /// What kubectl prints as admin, and whether it succeeded.
    pub fn kubectl(&self, arguments: &[&str]) -> (String, bool) {
        match self.plane.kubectl(arguments) {
            Ok(text) => (text, true),
            Err(error) => (error.to_string(), false),
        }
    }
}

/// Creates an object as the given identity.
pub async fn create_as(client: &Client, object: &Value, dry_run: DryRun) -> Result<Value, Error> {
    let parameters = PostParams { dry_run: dry_run == DryRun::Yes, ..PostParams::default() };
    Ok(plain(&api(client, object).create(&parameters, &dynamic(object)).await?))
}

/// Merge-patches an object as the given identity.
pub async fn patch_as(client: &Client, object: &Value, patch: &Value) -> Result<Value, Error> {
    Ok(plain(&api(client, object).patch(name(object), &PatchParams::default(), &Patch::Merge(patch)).await?))
}

/// Asks again every 50 ms until the answer is there; panics after 90 s: the garbage collector looks for new kinds every
/// 30 s.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within 90 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The collection that `object` belongs to.
pub fn api(client: &Client, object: &Value) -> Api<DynamicObject> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, version) =
        object["apiVersion"].as_str().and_then(|version| version.split_once('/')).unwrap_or(("", "v1"));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &text(&object["kind"])));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// The name of an object.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("every object here has a name")
}

fn dynamic(object: &Value) -> DynamicObject {
    serde_json::from_value(object.clone()).expect("every object here has kind and metadata")
}

fn plain(object: &DynamicObject) -> Value {
    serde_json::to_value(object).expect("an object is plain data")
}

fn from_yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("the manifest is YAML")
}
