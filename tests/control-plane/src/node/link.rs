//! The addresses of a node, and the pair of devices that joins its network namespace to this machine.
//!
//! The device on this machine is also the claim: the kernel lets a name exist only once, and takes device, addresses and
//! routes back when the namespace ends.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::error::ControlPlaneError;
use crate::process::ProcessId;

/// How many nodes may run side by side on one machine.
const NODES_MAX: u8 = 32;

/// The name of the node's end of the pair, inside the namespace.
const UPLINK: &str = "uplink";

/// What a machine with a device of that name answers.
const TAKEN: &str = "File exists";

/// One node's part of the addresses `10.213.0.0/16` and `10.214.0.0/16`, which are private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    index: u8,
}

impl Link {
    /// This machine's address on the link: pods and the kubelet reach the API server by it.
    pub const fn outside(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.index, 1)
    }

    /// The node's address: node ports and the kubelet are reached by it.
    pub const fn inside(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.index, 2)
    }

    /// The addresses of pods, 126 of them.
    pub fn pods(self) -> String {
        format!("10.213.{}.128/25", self.index)
    }

    /// The addresses of services.
    pub fn services(self) -> String {
        format!("10.214.{}.0/24", self.index)
    }

    /// The address of the service `kubernetes`: the first one of the range.
    pub const fn api_service(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 214, self.index, 1)
    }

    fn device(self) -> String {
        format!("scaleset{}", self.index)
    }

    /// Makes the pair for the namespace of `holder`, with the first addresses that nobody here uses, and the routes by
    /// which this machine reaches pods and services.
    pub(crate) fn make(holder: ProcessId) -> Result<Self, ControlPlaneError> {
        for link in (0..NODES_MAX).map(|index| Self { index }) {
            if link.is_routed_elsewhere()? || !link.claim(holder)? {
                continue;
            }
            link.set_up(holder)?;
            return Ok(link);
        }
        let message = format!("all {NODES_MAX} ranges of addresses for nodes are taken; `ip link` shows by whom");
        Err(ControlPlaneError::Command { command: "ip link add".to_owned(), output: message })
    }

    /// Whether this machine has a route of its own into the range.
    fn is_routed_elsewhere(self) -> Result<bool, ControlPlaneError> {
        for range in [format!("10.213.{}.0/24", self.index), self.services()] {
            if !run("ip", &["-4", "route", "show", "root", &range])?.trim().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the name was free, and the pair is made.
    fn claim(self, holder: ProcessId) -> Result<bool, ControlPlaneError> {
        let (device, pid) = (self.device(), holder.pid.to_string());
        let add = ["link", "add", &device, "type", "veth", "peer", "name", UPLINK, "netns", &pid];
        match run("ip", &add) {
            Ok(_) => Ok(true),
            Err(ControlPlaneError::Command { output, .. }) if output.contains(TAKEN) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn set_up(self, holder: ProcessId) -> Result<(), ControlPlaneError> {
        let (device, inside, outside) = (self.device(), self.inside().to_string(), self.outside().to_string());
        let of_node = |arguments: &[&str]| {
            let net = format!("--net=/proc/{}/ns/net", holder.pid);
            run("nsenter", &[&[net.as_str(), "ip"], arguments].concat())
        };
        run("ip", &["addr", "add", &format!("{outside}/30"), "dev", &device])?;
        run("ip", &["link", "set", &device, "up"])?;
        of_node(&["addr", "add", &format!("{inside}/30"), "dev", UPLINK])?;
        of_node(&["link", "set", UPLINK, "up"])?;
        of_node(&["route", "add", "default", "via", &outside])?;
        for range in [self.pods(), self.services()] {
            run("ip", &["route", "add", &range, "via", &inside])?;
        }
        Ok(())
    }

    /// What kube-apiserver is told so that a node can join, in place of what it is told without one. The files are those
    /// of `directory`.
    pub(crate) fn api_server_arguments(self, directory: &Path) -> Vec<String> {
        let path = |name: &str| directory.join(name).display().to_string();
        vec![
            format!("--bind-address={}", self.outside()),
            format!("--advertise-address={}", self.outside()),
            // Pods find the API server behind the service `kubernetes`.
            "--endpoint-reconciler-type=lease".to_owned(),
            format!("--service-cluster-ip-range={}", self.services()),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            format!("--kubelet-client-certificate={}", path("kubelet-client.crt")),
            format!("--kubelet-client-key={}", path("kubelet-client.key")),
            format!("--kubelet-certificate-authority={}", path("ca.crt")),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--allow-privileged=true".to_owned(),
        ]
    }
}

/// Runs a short program and returns what it printed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String, ControlPlaneError> {
    let command = std::iter::once(program).chain(arguments.iter().copied()).collect::<Vec<_>>().join(" ");
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|source| ControlPlaneError::Run { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ControlPlaneError::Command { command, output })
}

#[cfg(test)]
mod tests {
    use super::Link;

    #[test]
    fn nodes_have_addresses_of_their_own() {
        let (one, two) = (Link { index: 0 }, Link { index: 31 });
        assert_eq!(one.outside().to_string(), "10.213.0.1");
        assert_eq!(one.services(), "10.214.0.0/24");
        assert_eq!(two.inside().to_string(), "10.213.31.2");
        assert_eq!(two.pods(), "10.213.31.128/25");
        assert_eq!(two.api_service().to_string(), "10.214.31.1");
    }
}
