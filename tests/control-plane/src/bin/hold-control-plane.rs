//! Starts a control plane, prints the ids of its processes and holds it until it is killed.

use scaleset_control_plane::{ControlPlane, ControlPlaneError, Options};

fn main() -> Result<(), ControlPlaneError> {
    let plane = ControlPlane::start(Options::default())?;
    let pids: Vec<String> = plane.processes().iter().map(|process| process.pid.to_string()).collect();
    println!("{}", pids.join(" "));
    loop {
        std::thread::park();
    }
}
