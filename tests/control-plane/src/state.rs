//! What is kept of a control plane between runs: ports and process ids.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::address::{free_addresses, is_taken};
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

/// A port that is kept for a program that does not run, and that somebody else listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenPort {
    /// The program.
    pub program: &'static str,
    /// The port.
    pub port: u16,
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

    /// The processes by name, as far as they have ever been started.
    pub(crate) const fn processes(&self) -> [(&'static str, Option<ProcessId>); 3] {
        let Self { ports: _, etcd, api_server, controller_manager } = self;
        [("etcd", *etcd), ("kube-apiserver", *api_server), ("kube-controller-manager", *controller_manager)]
    }

    /// The ports on which what does not run could not listen.
    pub(crate) fn taken_ports(&self) -> Vec<TakenPort> {
        let Self { ports, etcd, api_server, controller_manager } = self;
        let kept = [
            ("etcd", *etcd, ports.etcd_client),
            ("etcd", *etcd, ports.etcd_peer),
            ("kube-apiserver", *api_server, ports.api_server),
            ("kube-controller-manager", *controller_manager, ports.controller_manager),
        ];
        let dead = kept.into_iter().filter(|(_, process, _)| !process.is_some_and(ProcessId::is_running));
        dead.filter(|(_, _, port)| is_taken(*port)).map(|(program, _, port)| TakenPort { program, port }).collect()
    }
}

fn free_ports() -> Result<Ports, ControlPlaneError> {
    let [etcd_client, etcd_peer, api_server, controller_manager] = free_addresses()?.map(|address| address.port());
    Ok(Ports { etcd_client, etcd_peer, api_server, controller_manager })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_kept_port_counts_as_taken_only_while_its_program_does_not_run() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = State::open(directory.path()).unwrap();
        assert_eq!(state.taken_ports(), []);
        let port = state.ports.etcd_peer;
        let _somebody = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert_eq!(state.taken_ports(), [TakenPort { program: "etcd", port }]);
        state.etcd = ProcessId::of(i32::try_from(std::process::id()).unwrap());
        assert_eq!(state.taken_ports(), [], "it is etcd itself that listens");
    }
}
