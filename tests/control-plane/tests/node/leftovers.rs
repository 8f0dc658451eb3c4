//! What a node could leave on its machine, looked at before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where the programs of a node would put files if they saw the machine's own directories.
const DIRECTORIES: [&str; 10] = [
    "/run",
    "/run/netns",
    "/run/containerd",
    "/var/lib",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log",
    "/opt",
    "/etc/cni",
    "/usr/libexec",
];

/// Settings of the whole kernel that kubelet and kube-proxy would change.
const SETTINGS: [&str; 9] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/netfilter/nf_conntrack_max",
];

/// What is asked of the machine's network, as far as it can be.
const QUESTIONS: [(&str, &[&str]); 6] = [
    ("ip", &["-o", "link"]),
    ("ip", &["-o", "addr"]),
    ("ip", &["route", "show", "table", "all"]),
    ("ip", &["netns"]),
    ("iptables-save", &[]),
    ("ip6tables-save", &[]),
];

/// A machine at one moment: what there is, by where it was seen.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine(BTreeMap<String, BTreeSet<String>>);

impl Machine {
    pub fn look() -> Self {
        let mut seen = BTreeMap::new();
        let lines = |text: &str| text.lines().map(without_counters).collect::<BTreeSet<String>>();
        seen.insert("mounts".to_owned(), lines(&fs::read_to_string("/proc/mounts").expect("Linux has it")));
        for (program, arguments) in QUESTIONS {
            let output = Command::new(program).args(arguments).output().expect("a node needs it, too");
            seen.insert(format!("{program} {}", arguments.join(" ")), lines(&String::from_utf8_lossy(&output.stdout)));
        }
        for directory in DIRECTORIES {
            seen.insert(directory.to_owned(), names_in(Path::new(directory)));
        }
        seen.insert("control groups".to_owned(), control_groups());
        for setting in SETTINGS {
            let text = fs::read_to_string(Path::new("/proc/sys").join(setting)).unwrap_or_default();
            seen.insert(setting.to_owned(), lines(&text));
        }
        Self(seen)
    }

    /// That the machine is again as it was, and no process has to do with `directory`.
    pub fn assert_is_as_before(&self, directory: &Path) {
        let now = Self::look();
        for (where_seen, before) in &self.0 {
            let now = &now.0[where_seen];
            let more: Vec<&String> = now.difference(before).collect();
            let less: Vec<&String> = before.difference(now).collect();
            assert!(more.is_empty() && less.is_empty(), "{where_seen}: came {more:#?}, went {less:#?}");
        }
        assert_eq!(processes(directory), Vec::<String>::new());
    }
}

/// Packet counters of `iptables-save` and times in comments are not what is compared.
fn without_counters(line: &str) -> String {
    if line.starts_with('#') {
        return String::new();
    }
    line.split_whitespace().filter(|word| !word.starts_with('[')).collect::<Vec<_>>().join(" ")
}

fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Ours and kubelet's, at the top of every hierarchy.
fn control_groups() -> BTreeSet<String> {
    let root = Path::new("/sys/fs/cgroup");
    let mut found = BTreeSet::new();
    for directory in names_in(root).into_iter().chain([".".to_owned()]) {
        let below = names_in(&root.join(&directory)).into_iter();
        let ours = below.filter(|name| name.starts_with("scaleset-node") || name.starts_with("kube"));
        found.extend(ours.map(|name| format!("{directory}/{name}")));
    }
    found
}

/// The command lines that speak of a directory, but for this process's own.
fn processes(directory: &Path) -> Vec<String> {
    let told = directory.display().to_string();
    let lines = fs::read_dir("/proc").expect("Linux has it").flatten().filter_map(|entry| {
        let own = entry.file_name().to_string_lossy() == std::process::id().to_string();
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        (!own).then(|| String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(&told)).collect()
}
