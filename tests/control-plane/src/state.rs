//! What is kept of a control plane between runs: ports and process ids.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{ControlPlaneError, file};
use crate::process::ProcessId;

/// Ports of one control plane, all on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) etcd_client: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) api_server: u16,
    pub(crate) controller_manager: u16,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) ports: Ports,
    pub(crate) etcd: Option<ProcessId>,
    pub(crate) api_server: Option<ProcessId>,
    pub(crate) controller_manager: Option<ProcessId>,
}

impl State {
    /// The state of `directory`, new ports where there is none.
    pub(crate) fn open(directory: &Path) -> Result<Self, ControlPlaneError> {
        let path = directory.join("state.json");
        if !path.exists() {
            return Ok(Self { ports: free_ports()?, etcd: None, api_server: None, controller_manager: None });
        }
        let text = fs::read_to_string(&path).map_err(file(&path))?;
        serde_json::from_str(&text).map_err(|error| ControlPlaneError::State { path, message: error.to_string() })
    }

    pub(crate) fn save(&self, directory: &Path) -> Result<(), ControlPlaneError> {
        let path = directory.join("state.json");
        let text = serde_json::to_string_pretty(self).expect("a state is plain data");
        fs::write(&path, text).map_err(file(path))
    }
}

/// Four ports that nobody listens on; all are held while they are chosen, so that they differ.
fn free_ports() -> Result<Ports, ControlPlaneError> {
    let listener = || TcpListener::bind(("127.0.0.1", 0)).map_err(file("a free port on 127.0.0.1"));
    let listeners = [listener()?, listener()?, listener()?, listener()?];
    let mut ports = [0; 4];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr().map_err(file("a free port on 127.0.0.1"))?.port();
    }
    let [etcd_client, etcd_peer, api_server, controller_manager] = ports;
    Ok(Ports { etcd_client, etcd_peer, api_server, controller_manager })
}
