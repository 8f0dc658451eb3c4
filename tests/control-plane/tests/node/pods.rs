//! Pods for the node's tests, and what is asked of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use scaleset_control_plane::Node;

const DEADLINE: Duration = Duration::from_secs(30);

/// Two pods under the restricted standard behind a service with a port of the node, and a policy that would cut them off.
pub const DEPLOYMENT: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: restricted, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: probe, namespace: restricted}
spec:
  replicas: 2
  selector: {matchLabels: {app: probe}}
  template:
    metadata: {labels: {app: probe}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: probe
          image: localhost/probe:1
          imagePullPolicy: Never
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: probe, namespace: restricted}
spec: {type: NodePort, selector: {app: probe}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody, namespace: restricted}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";

/// A pod without rights of its own on the volume, which must be given to its group.
const CLAIM: &str = r"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim, namespace: restricted}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: holder, namespace: restricted}
spec:
  securityContext: {runAsNonRoot: true, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: probe
      image: localhost/probe:1
      imagePullPolicy: Never
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: claim}}]
";

/// Waits until both pods have said `line`.
pub fn logs(node: &Node, line: &str) {
    let started = Instant::now();
    loop {
        let said = node
            .plane()
            .kubectl(&["logs", "-n", "restricted", "-l", "app=probe", "--tail=-1"])
            .expect("pods have logs");
        if said.lines().filter(|said| *said == line).count() == 2 {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "two pods never said `{line}`:\n{said}");
        std::thread::yield_now();
    }
}

/// The addresses of the pods.
pub fn pod_addresses(node: &Node) -> Vec<String> {
    let path = "jsonpath={.items[*].status.podIP}";
    let said = node
        .plane()
        .kubectl(&["get", "pods", "-n", "restricted", "-l", "app=probe", "-o", path])
        .expect("pods are listed");
    said.split_whitespace().map(str::to_owned).collect()
}

/// What a pod answers: its name.
pub fn said_over_http(address: &str) -> String {
    let address = address.parse().unwrap_or_else(|_| panic!("no address: {address}"));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("it is reached");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("more than 0 s");
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.rsplit("\r\n\r\n").next().unwrap_or_default().trim().to_owned()
}

/// A claim gets one of the node's volumes, and the pod's group owns it.
pub fn claim_a_volume(node: &Node) {
    let path = node.directory().join("claim.yaml");
    std::fs::write(&path, CLAIM).expect("the node's directory is ours");
    let kubectl = |arguments: &[&str]| node.plane().kubectl(arguments).unwrap_or_else(|error| panic!("{error}"));
    kubectl(&["apply", "-f", &path.display().to_string()]);
    kubectl(&["wait", "--for=condition=Ready", "pod/holder", "-n", "restricted", "--timeout=60s"]);
    let volume = kubectl(&["get", "pvc", "claim", "-n", "restricted", "-o", "jsonpath={.spec.volumeName}"]);
    let number = volume.strip_prefix("local-").expect("one of the node's");
    let directory = node.directory().join("volumes").join(number);
    let group = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(directory).expect("the volume is there"));
    assert_eq!(group, 65_532);
}
