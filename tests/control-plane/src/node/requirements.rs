//! What a machine must have to be a node: Linux, root, and Debian's packages that are not built here.

use std::path::{Path, PathBuf};

use crate::error::ControlPlaneError;

/// Where programs are looked for besides `PATH`: an ordinary user's lacks the folders of administration.
const PROGRAM_DIRECTORIES: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Where distributions put the plug-ins of pod networks.
const NETWORK_PLUGIN_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// Programs, and Debian's package that brings each.
const PROGRAMS: [(&str, &str); 7] = [
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
];

/// Plug-ins of pod networks that the node's configuration names.
const NETWORK_PLUGINS: [&str; 4] = ["ptp", "host-local", "portmap", "loopback"];
const NETWORK_PLUGINS_PACKAGE: &str = "containernetworking-plugins";

/// What was found on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// runc's path.
    pub(crate) runc: PathBuf,
    /// Where the plug-ins of pod networks are.
    pub(crate) network_plugins: PathBuf,
}

impl Machine {
    /// Looks for all that is needed; the error names everything that is missing at once, and how to get it.
    pub(crate) fn look() -> Result<Self, ControlPlaneError> {
        let mut missing = Vec::new();
        if !cfg!(target_os = "linux") {
            missing.push("Linux: a node is made of its namespaces and control groups".to_owned());
        }
        if !is_root() {
            missing.push("root: namespaces, mounts and control groups are made; run it with sudo".to_owned());
        }
        Self::of(missing, find(&program_directories()))
    }

    fn of(mut missing: Vec<String>, found: Found) -> Result<Self, ControlPlaneError> {
        missing.extend(found.missing);
        match (missing.is_empty(), found.runc, found.network_plugins) {
            (true, Some(runc), Some(network_plugins)) => Ok(Self { runc, network_plugins }),
            _ => Err(ControlPlaneError::NoNode { missing }),
        }
    }
}

/// Whether this process may make namespaces, mounts and control groups, and end them.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What of programs and plug-ins is there.
struct Found {
    runc: Option<PathBuf>,
    network_plugins: Option<PathBuf>,
    /// Empty, or what to do about what is not there.
    missing: Vec<String>,
}

fn find(directories: &[PathBuf]) -> Found {
    let located = |name: &str| directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file());
    let absent: Vec<(&str, &str)> = PROGRAMS.into_iter().filter(|(name, _)| located(name).is_none()).collect();
    let has_plugins = |directory: &Path| NETWORK_PLUGINS.iter().all(|name| directory.join(name).is_file());
    let network_plugins = NETWORK_PLUGIN_DIRECTORIES.map(PathBuf::from).into_iter().find(|path| has_plugins(path));
    let mut names: Vec<&str> = absent.iter().map(|(name, _)| *name).collect();
    let mut packages: Vec<&str> = absent.iter().map(|(_, package)| *package).collect();
    if network_plugins.is_none() {
        names.extend(NETWORK_PLUGINS);
        packages.push(NETWORK_PLUGINS_PACKAGE);
    }
    packages.dedup();
    let missing = (!packages.is_empty())
        .then(|| format!("{}: `apt-get install {}`, or your system's packages", names.join(", "), packages.join(" ")));
    Found { runc: located("runc"), network_plugins, missing: missing.into_iter().collect() }
}

/// `PATH`, then the folders that it may lack.
pub(crate) fn program_directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(PROGRAM_DIRECTORIES.map(PathBuf::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_package_that_brings_it() {
        let empty = tempfile::tempdir().unwrap();
        let missing = find(&[empty.path().to_owned()]).missing.join("\n");
        assert!(missing.starts_with("runc, iptables, conntrack, ip, nsenter, unshare, mount"), "{missing}");
        assert!(missing.contains("apt-get install runc iptables conntrack iproute2 util-linux mount"), "{missing}");
    }

    #[test]
    fn a_machine_that_cannot_be_a_node_is_told_all_it_lacks_and_of_the_other_way() {
        let empty = tempfile::tempdir().unwrap();
        let told = Machine::of(vec!["root: run it with sudo".to_owned()], find(&[empty.path().to_owned()]));
        let told = told.unwrap_err().to_string();
        for part in ["this machine cannot be a node", "- root: run it with sudo", "apt-get install runc", "`make kind`"]
        {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }

    #[test]
    fn a_program_is_found_in_the_first_folder_that_has_it() {
        let machine = tempfile::tempdir().unwrap();
        for (name, _) in PROGRAMS {
            std::fs::write(machine.path().join(name), "").unwrap();
        }
        let found = find(&[machine.path().join("absent"), machine.path().to_owned()]);
        assert_eq!(found.runc, Some(machine.path().join("runc")));
    }
}
