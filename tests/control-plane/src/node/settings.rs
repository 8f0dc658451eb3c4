//! The settings of a node's processes: their files and arguments.
//!
//! What differs from a node of a real cluster says why; everything else is the programs' own default.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::certificates::{Authority, write};
use crate::error::ControlPlaneError;
use crate::kubeconfig;
use crate::node::link::Link;
use crate::node::requirements::Machine;

/// The node's name in the cluster.
pub(crate) const NODE_NAME: &str = "node";
/// The image that holds the namespaces of a pod.
pub(crate) const PAUSE_IMAGE: &str = "localhost/pause:1";
pub(crate) const PROXY_HEALTH_PORT: u16 = 10_256;
pub(crate) const DNS_READY_PORT: u16 = 8_181;
const CLUSTER_DOMAIN: &str = "cluster.local";

/// Who of the node talks to the API server: name of the kubeconfig, user, groups.
const USERS: [(&str, &str, &[&str]); 4] = [
    ("kubelet", "system:node:node", &["system:nodes"]),
    ("kube-proxy", "system:kube-proxy", &[]),
    ("kube-scheduler", "system:kube-scheduler", &[]),
    ("cluster-dns", "scaleset-node-dns", &[]),
];

/// Where a node's files are, and what they are about.
#[derive(Clone, Debug)]
pub(crate) struct Settings<'node> {
    pub(crate) directory: &'node Path,
    pub(crate) link: Link,
    pub(crate) machine: &'node Machine,
    /// The control groups' path, as kubelet wants it.
    pub(crate) control_groups: &'node str,
}

impl Settings<'_> {
    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// containerd's socket. Its path is short: the system allows 107 characters.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("c.sock")
    }

    /// Writes every file; `authority` is the control plane's, which listens at `server`.
    pub(crate) fn write(&self, authority: &Authority, server: &str) -> Result<(), ControlPlaneError> {
        for (name, user, groups) in USERS {
            let text = kubeconfig::text(server, &authority.certificate, user, &authority.client(user, groups)?);
            write(&self.directory.join(format!("{name}.kubeconfig")), &text)?;
        }
        let serving =
            authority.server("system:node:node", vec![self.link.inside().to_string(), NODE_NAME.to_owned()])?;
        for (name, text) in [
            ("kubelet.crt", serving.certificate),
            ("kubelet.key", serving.key),
            ("ca.crt", authority.certificate.clone()),
            ("resolv.conf", String::new()),
            ("kubelet.yaml", self.kubelet()),
            ("containerd.toml", self.containerd()),
            ("Corefile", self.dns()),
        ] {
            write(&self.directory.join(name), &text)?;
        }
        let networks = self.directory.join("networks");
        std::fs::create_dir_all(&networks).map_err(crate::error::file(&networks))?;
        write(&networks.join("10-pods.conflist"), &self.pod_network())
    }

    /// JSON, which is YAML.
    fn kubelet(&self) -> String {
        let settings = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.link.inside(),
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": self.path("ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": self.path("kubelet.crt"),
            "tlsPrivateKeyFile": self.path("kubelet.key"),
            "containerRuntimeEndpoint": format!("unix://{}", self.socket().display()),
            "clusterDNS": [self.link.inside()],
            "clusterDomain": CLUSTER_DOMAIN,
            "resolvConf": self.path("resolv.conf"),
            "podLogsDir": self.path("pod-logs"),
            "volumePluginDir": self.path("volume-plugins"),
            // The machine is shared: its memory, swap and control groups are as they are, and so is its systemd.
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.control_groups,
            "enforceNodeAllocatable": [],
            "failCgroupV1": false,
            "failSwapOn": false,
            // How full the machine's disk is says nothing of the pods; and an image that is removed comes from nowhere.
            "evictionHard": {"memory.available": "1%", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        });
        format!("{settings:#}\n")
    }

    fn containerd(&self) -> String {
        let path = |name: &str| serde_json::Value::from(self.path(name));
        let plain = |path: &Path| serde_json::Value::from(path.display().to_string());
        let Machine { runc, network_plugins } = self.machine;
        format!(
            r#"version = 3
root = {root}
state = "/run/containerd"

[grpc]
address = {socket}

[plugins."io.containerd.internal.v1.opt"]
path = {opt}

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"

# A root without every capability may not make its children less likely to be killed than itself.
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [{plugins}]
conf_dir = {networks}

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = {runc}
SystemdCgroup = false
"#,
            root = path("containerd"),
            socket = plain(&self.socket()),
            opt = path("opt"),
            plugins = plain(network_plugins),
            networks = path("networks"),
            runc = plain(runc),
        )
    }

    /// A pair of devices for each pod, routed by the node. It enforces no network policy.
    fn pod_network(&self) -> String {
        let network = json!({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {"type": "ptp", "ipMasq": false, "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/pod-addresses",
                    "ranges": [[{"subnet": self.link.pods()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                }},
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        format!("{network:#}\n")
    }

    /// Names of the cluster only: nothing leads out of it.
    fn dns(&self) -> String {
        let (inside, kubeconfig) = (self.link.inside(), self.path("cluster-dns.kubeconfig"));
        format!(
            "{CLUSTER_DOMAIN} in-addr.arpa {{\n    bind {inside}\n    errors\n    ready {inside}:{DNS_READY_PORT}\n    \
             kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{\n        kubeconfig {kubeconfig}\n        ttl 5\n    }}\n}}\n"
        )
    }

    pub(crate) fn containerd_arguments(&self) -> Vec<String> {
        vec![format!("--config={}", self.path("containerd.toml")), "--log-level=warn".to_owned()]
    }

    pub(crate) fn kubelet_arguments(&self) -> Vec<String> {
        vec![
            format!("--config={}", self.path("kubelet.yaml")),
            format!("--kubeconfig={}", self.path("kubelet.kubeconfig")),
            format!("--root-dir={}", self.path("kubelet")),
            format!("--cert-dir={}", self.path("kubelet-certificates")),
            format!("--hostname-override={NODE_NAME}"),
            format!("--node-ip={}", self.link.inside()),
        ]
    }

    pub(crate) fn proxy_arguments(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.path("kube-proxy.kubeconfig")),
            format!("--hostname-override={NODE_NAME}"),
            "--proxy-mode=iptables".to_owned(),
            format!("--cluster-cidr={}", self.link.pods()),
            format!("--healthz-bind-address={}:{PROXY_HEALTH_PORT}", self.link.inside()),
            // The limit of connections is the machine's, not the namespace's.
            "--conntrack-max-per-core=0".to_owned(),
        ]
    }

    pub(crate) fn scheduler_arguments(&self) -> Vec<String> {
        let kubeconfig = self.path("kube-scheduler.kubeconfig");
        vec![
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--leader-elect=false".to_owned(),
        ]
    }

    pub(crate) fn dns_arguments(&self) -> Vec<String> {
        vec!["-conf".to_owned(), self.path("Corefile")]
    }
}
