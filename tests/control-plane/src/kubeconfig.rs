//! Kubeconfig files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::certificates::Identity;

/// A kubeconfig (JSON, which is YAML) with everything inlined: it stays usable when it is copied elsewhere.
pub(crate) fn text(server: &str, authority: &str, user: &str, identity: &Identity) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "scaleset", "cluster": {"server": server, "certificate-authority-data": STANDARD.encode(authority)}}],
        "users": [{"name": user, "user": {
            "client-certificate-data": STANDARD.encode(&identity.certificate),
            "client-key-data": STANDARD.encode(&identity.key),
        }}],
        "contexts": [{"name": "scaleset", "context": {"cluster": "scaleset", "user": user, "namespace": "default"}}],
        "current-context": "scaleset",
    });
    serde_json::to_string_pretty(&config).expect("a kubeconfig is plain data")
}
