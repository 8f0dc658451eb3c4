//! A node runs pods as a real one does, and leaves nothing behind.
//!
//! These tests make a node of this machine: they need Linux, root and a few of Debian's packages, and fail with what is
//! missing where they are not there.

mod node {
    pub mod leftovers;
    pub mod pods;
}

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use scaleset_control_plane::{Node, NodeOptions, NodePrograms, ProcessId};

use crate::node::leftovers::Machine;
use crate::node::pods::{DEPLOYMENT, claim_a_volume, logs, pod_addresses, said_over_http};

/// What a machine looks like before and after is compared: one node at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    NodePrograms::locate().and_then(|programs| programs.ensure(|_| {})).unwrap_or_else(|error| panic!("{error}"));
    alone
}

fn apply(node: &Node, manifest: &str) {
    let path = node.directory().join("manifest.yaml");
    std::fs::write(&path, manifest).expect("the node's directory is ours");
    node.plane().kubectl(&["apply", "-f", &path.display().to_string()]).expect("the manifest is fine");
}

#[test]
fn restricted_pods_run_speak_and_reach_the_api_server_and_nothing_is_left_of_them() {
    let _alone = alone();
    let before = Machine::look();
    let node = Node::start(NodeOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    node.load_program("probe", &node.programs().path("probe")).unwrap();
    apply(&node, DEPLOYMENT);
    let kubectl = |arguments: &[&str]| node.plane().kubectl(arguments).unwrap();
    kubectl(&["rollout", "status", "deployment/probe", "-n", "restricted", "--timeout=60s"]);

    // What a pod said of itself reaches us through API server and kubelet.
    for line in ["user 65532", "by address 403 Forbidden", "by name 403 Forbidden"] {
        logs(&node, line);
    }
    // Pods, the service's address and the node's port answer on this machine, without any proxy.
    let pods = pod_addresses(&node);
    assert_eq!(pods.len(), 2, "{pods:?}");
    let mut names: Vec<String> = pods.iter().map(|pod| said_over_http(&format!("{pod}:8080"))).collect();
    names.sort();
    let service = kubectl(&["get", "service", "probe", "-n", "restricted", "-o", "jsonpath={.spec.clusterIP}"]);
    assert!(names.contains(&said_over_http(&format!("{service}:80"))), "{names:?}");
    let port = kubectl(&["get", "service", "probe", "-n", "restricted", "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    assert!(names.contains(&said_over_http(&format!("{}:{port}", node.address()))), "{names:?}");
    // The plug-in of the pods' network enforces no policy: a test of one would prove nothing here.
    kubectl(&["get", "networkpolicy", "nobody", "-n", "restricted"]);
    claim_a_volume(&node);
    let refused = node.plane().kubectl(&["run", "root", "-n", "restricted", "--image=localhost/probe:1"]).unwrap_err();
    assert!(refused.to_string().contains("violates PodSecurity \"restricted:latest\""), "{refused}");

    let directory = node.directory().to_owned();
    let plane = node.plane().directory().to_owned();
    drop(node);
    assert!(!directory.exists() && !plane.exists(), "{} {}", directory.display(), plane.display());
    before.assert_is_as_before(&directory);
}

#[test]
fn a_kept_node_goes_on_until_it_is_stopped_and_then_nothing_is_left() {
    let _alone = alone();
    let before = Machine::look();
    let kept = tempfile::tempdir().unwrap();
    let directory = kept.path().join("node");
    let options = || NodeOptions { directory: Some(directory.clone()), ..NodeOptions::default() };
    let node = Node::start(options()).unwrap_or_else(|error| panic!("{error}"));
    let holder = node.holder();
    node.keep();
    assert!(holder.is_running());
    assert!(Node::is_kept(&directory).unwrap());
    let refused = Node::start(options()).unwrap_err().to_string();
    assert!(refused.contains("a node runs there already"), "{refused}");
    assert!(holder.is_running(), "a start that is refused ends nothing");
    assert!(Node::stop_kept(&directory).unwrap());
    assert!(!Node::stop_kept(&directory).unwrap(), "there is none any more");
    assert!(!directory.exists());
    before.assert_is_as_before(&directory);
}

#[test]
fn nothing_is_left_when_whoever_started_it_is_killed_with_its_process_group() {
    let _alone = alone();
    let before = Machine::look();
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_hold-node")).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (holder, directory) = line.trim().split_once(' ').expect("a process and a directory");
    let (holder, directory) = (ProcessId::of(holder.parse().unwrap()).unwrap(), std::path::PathBuf::from(directory));
    kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    let started = Instant::now();
    while holder.is_running() || directory.exists() {
        assert!(started.elapsed() < Duration::from_secs(30), "still there: {line}");
        std::thread::yield_now();
    }
    before.assert_is_as_before(&directory);
}
