//! Writes the manifests into the directory that is named as the only argument.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: crdgen DIRECTORY");
        std::process::exit(2);
    };
    for (name, text) in scaleset_crds::manifests::files() {
        std::fs::write(directory.join(name), text)?;
    }
    Ok(())
}
