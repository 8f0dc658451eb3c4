//! `make node`: a control plane and a real node on this machine, kept until `make node-down`.

use std::path::PathBuf;

use anyhow::bail;
use scaleset_control_plane::{Node, NodeOptions, NodePrograms, workspace_root};

use crate::say::say;
use crate::{build, image, local};

/// Starts a node with our image in it and lets it go on; one that runs already gets the image as it is now.
pub(crate) fn up() -> anyhow::Result<()> {
    let directory = directory();
    programs()?;
    let _starting = local::lock_start()?;
    let image = image::make(&image::default_directory())?;
    if Node::is_kept(&directory)? {
        say("the node runs already");
    } else {
        Node::stop_kept(&directory)?;
        say("starting a control plane and a node (about 20 s)");
        let options = NodeOptions { directory: Some(directory.clone()), ..NodeOptions::default() };
        Node::start(options)?.keep();
    }
    say(format_args!("loading {}", image.name));
    Node::load_kept(&directory, &image.archive)?;
    let kubeconfig = directory.join("control-plane/admin.kubeconfig");
    say(format_args!("ready: export KUBECONFIG={}", kubeconfig.display()));
    say("next:  helm install scaleset-crds charts/scaleset-crds --namespace scaleset-system --create-namespace");
    say("       helm install scaleset-controller charts/scaleset-controller --namespace scaleset-system --wait");
    say("       make node-down ends it and leaves nothing behind");
    Ok(())
}

/// Builds the programs that are missing, with progress; refuses at once where this machine cannot be a node.
pub(crate) fn programs() -> anyhow::Result<()> {
    Ok(NodePrograms::locate()?.ensure(|progress| build::show(&progress))?)
}

/// Ends what [`up`] started, and removes its files.
pub(crate) fn down() -> anyhow::Result<()> {
    let directory = directory();
    if Node::stop_kept(&directory)? {
        say("the node and its control plane are gone");
        return Ok(());
    }
    if directory.exists() {
        bail!("{} holds no node that could be ended; remove it yourself", directory.display());
    }
    say("no node runs here");
    Ok(())
}

/// Fails while a node runs whose files would be removed with the rest.
pub(crate) fn refuse_while_it_runs() -> anyhow::Result<()> {
    if Node::is_kept(&directory())? {
        bail!("a node runs here, and its files are in .run as well: `make node-down` first");
    }
    Ok(())
}

fn directory() -> PathBuf {
    workspace_root().join(".run/node")
}
