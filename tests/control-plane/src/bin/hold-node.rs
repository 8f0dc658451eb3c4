//! Starts a node with its control plane, prints its directory and the id of its first process, and holds it until it is
//! killed.

use scaleset_control_plane::{ControlPlaneError, Node, NodeOptions};

fn main() -> Result<(), ControlPlaneError> {
    let node = Node::start(NodeOptions::default())?;
    println!("{} {}", node.holder().pid, node.directory().display());
    loop {
        std::thread::park();
    }
}
