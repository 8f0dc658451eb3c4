//! Our image: the same bytes from the same programs, small, with nothing of this machine in it, and at work in a pod.
//!
//! `make test-image` runs it: it compiles the programs of the image, and a node needs root.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use scaleset_control_plane::{Node, NodeOptions, NodePrograms};

const IMAGE_BYTES_MAX: usize = 25_000_000;
const DEADLINE: Duration = Duration::from_mins(1);

/// The controller with the rights of nobody, which finds the API server by its name.
const POD: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: restricted, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: by-name, namespace: restricted}
data:
  kubeconfig: |
    apiVersion: v1
    kind: Config
    clusters: [{name: here, cluster: {
      server: "https://kubernetes.default.svc",
      certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt}}]
    users: [{name: me, user: {tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token}}]
    contexts: [{name: here, context: {cluster: here, user: me}}]
    current-context: here
---
apiVersion: v1
kind: Pod
metadata: {name: controller, namespace: restricted}
spec:
  restartPolicy: Never
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: controller
      image: scaleset-controller:VERSION
      imagePullPolicy: Never
      args: [--kubeconfig=/by-name/kubeconfig, --hardware-store=/data/hardware.redb]
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: by-name, mountPath: /by-name}, {name: data, mountPath: /data}]
  volumes: [{name: by-name, configMap: {name: by-name}}, {name: data, emptyDir: {}}]
"#;

/// What `xtask image` says: digest and size.
fn image(directory: &Path) -> (String, usize) {
    let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = xtask.args(["image", "--directory"]).arg(directory).output().expect("xtask can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let line = said.lines().find(|line| line.contains("sha256:")).unwrap_or_else(|| panic!("no digest in {said}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    (words[1].to_owned(), words[2].parse().expect("a number of bytes"))
}

#[test]
fn two_packings_are_one_image_that_is_small_and_tells_nothing_of_this_machine() {
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    let (digest, bytes) = image(&one);
    assert_eq!(image(&two), (digest, bytes));
    assert_eq!(fs::read(one.join("image.tar")).unwrap(), fs::read(two.join("image.tar")).unwrap());
    assert!(bytes < IMAGE_BYTES_MAX, "{bytes} bytes");
    let names = files_of_the_layer(&one);
    for path in ["scaleset-controller", "scaleset-hardware", "usr/share/bill-of-materials/scaleset.cdx.json"] {
        assert!(names.contains_key(path), "{:?}", names.keys());
    }
    let home = std::env::var("HOME").unwrap();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().display().to_string();
    for (name, content) in names {
        for path in [format!("{home}/.cargo"), checkout.clone()] {
            let found = content.windows(path.len()).position(|window| window == path.as_bytes());
            assert!(found.is_none(), "{name} holds {path}: {}", near(&content, found.unwrap_or_default()));
        }
    }
}

#[test]
fn the_image_says_who_it_is_and_runs_as_nobody() {
    let place = tempfile::tempdir().unwrap();
    image(place.path());
    let manifest = fs::read(place.path().join("layout/manifest.json")).expect("the layout has it");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("it is JSON");
    let path = manifest[0]["Config"].as_str().expect("an image has a configuration");
    let configuration = fs::read(place.path().join("layout").join(path)).expect("the configuration is there");
    let configuration: serde_json::Value = serde_json::from_slice(&configuration).expect("it is JSON");
    assert_eq!(configuration["os"], "linux");
    let config = &configuration["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/scaleset-controller"]));
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default();
    assert_eq!(label("title"), "scaleset-controller");
    assert_eq!(label("licenses"), "Apache-2.0");
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert!(!label("description").is_empty());
    let revision = label("revision");
    assert!(revision.len() == 40 && revision.chars().all(|digit| digit.is_ascii_hexdigit()), "{revision:?}");
}

/// The text around a place.
fn near(content: &[u8], at: usize) -> String {
    String::from_utf8_lossy(&content[at..content.len().min(at + 200)]).into_owned()
}

fn files_of_the_layer(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let layout = directory.join("layout");
    let manifest = fs::read(layout.join("manifest.json")).expect("the layout has it");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("it is JSON");
    let layer = manifest[0]["Layers"][0].as_str().expect("an image has a layer");
    let layer = fs::File::open(layout.join(layer)).expect("the layer is there");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer));
    let files = archive.entries().expect("an archive").map(|entry| {
        let mut entry = entry.expect("a whole entry");
        let path = entry.path().expect("a path").display().to_string();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).expect("a whole file");
        (path, content)
    });
    files.collect()
}

#[test]
fn the_controller_starts_in_a_restricted_pod_and_finds_the_api_server_by_name() {
    NodePrograms::locate().and_then(|programs| programs.ensure(|_| {})).unwrap_or_else(|error| panic!("{error}"));
    let place = tempfile::tempdir().unwrap();
    image(place.path());
    let node = Node::start(NodeOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    node.load_images(&place.path().join("image.tar")).unwrap();
    let manifest = place.path().join("pod.yaml");
    fs::write(&manifest, POD.replace("VERSION", env!("CARGO_PKG_VERSION"))).unwrap();
    let kubectl = |arguments: &[&str]| node.plane().kubectl(arguments);
    kubectl(&["apply", "-f", manifest.to_str().unwrap()]).unwrap();
    let started = Instant::now();
    loop {
        // Only whoever got through to the API server knows what it does not serve.
        let said = kubectl(&["logs", "-n", "restricted", "controller"]).unwrap_or_else(|error| error.to_string());
        if said.contains("lacks the CRDs scalesets.compute.scaleset.io") {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "the API server never answered it:\n{said}");
        std::thread::yield_now();
    }
}
