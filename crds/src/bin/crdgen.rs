//! Writes the manifests into the first directory that is named, and the chart's templates into the second.

use std::path::PathBuf;

use scaleset_crds::manifests::{chart_templates, files};

fn main() -> std::io::Result<()> {
    let mut directories = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(manifests), Some(templates)) = (directories.next(), directories.next()) else {
        eprintln!("usage: crdgen MANIFESTS TEMPLATES");
        std::process::exit(2);
    };
    for (directory, contents) in [(manifests, files()), (templates, chart_templates())] {
        for (name, text) in contents {
            std::fs::write(directory.join(name), text)?;
        }
    }
    Ok(())
}
