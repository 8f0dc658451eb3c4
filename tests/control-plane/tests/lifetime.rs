//! A control plane starts, serves, keeps apart from its neighbours and leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use scaleset_control_plane::{ControlPlane, Options, ProcessId};

fn start() -> ControlPlane {
    // The shared one builds the programs where they are missing.
    ControlPlane::shared();
    ControlPlane::start(Options::default()).expect("a control plane starts")
}

fn assert_gone(processes: &[ProcessId]) {
    let started = Instant::now();
    while processes.iter().any(|process| process.is_running()) {
        assert!(started.elapsed() < Duration::from_secs(30), "still running: {processes:?}");
        std::thread::yield_now();
    }
}

#[test]
fn two_run_side_by_side_and_leave_nothing_when_dropped() {
    let one = start();
    let two = start();
    one.kubectl(&["create", "namespace", "only-here"]).unwrap();
    assert!(one.kubectl(&["get", "namespaces", "-o", "name"]).unwrap().contains("namespace/only-here"));
    assert!(!two.kubectl(&["get", "namespaces", "-o", "name"]).unwrap().contains("only-here"));
    let processes = [one.processes(), two.processes()].concat();
    assert_eq!(processes.len(), 6);
    drop(one);
    drop(two);
    assert_gone(&processes);
}

#[test]
fn a_user_has_only_the_rights_that_rbac_gives() {
    let plane = ControlPlane::shared();
    let kubeconfig = plane.kubeconfig_for("somebody", &[]).unwrap();
    let refused = plane.kubectl_as(&kubeconfig, &["get", "namespaces"]).unwrap_err().to_string();
    assert!(refused.contains("User \"somebody\" cannot list resource \"namespaces\""), "{refused}");
}

#[test]
fn the_api_server_comes_back_on_its_address_with_its_state() {
    let mut plane = start();
    plane.kubectl(&["create", "namespace", "kept"]).unwrap();
    plane.restart_api_server().unwrap();
    assert!(plane.kubectl(&["get", "namespaces", "-o", "name"]).unwrap().contains("namespace/kept"));
}

#[test]
fn nothing_is_left_running_when_the_parent_and_its_process_group_are_killed() {
    ControlPlane::shared();
    let mut child =
        Command::new(env!("CARGO_BIN_EXE_hold-control-plane")).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let processes: Vec<ProcessId> =
        line.split_whitespace().map(|pid| ProcessId::of(pid.parse().unwrap()).unwrap()).collect();
    assert_eq!(processes.len(), 3, "{line}");
    kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    assert_gone(&processes);
}
