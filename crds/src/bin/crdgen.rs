//! Writes the manifests into the first directory that is named, the chart's templates into the second, and the reference
//! into the file that is named third, where one is.

use std::path::PathBuf;

use scaleset_crds::manifests::{chart_templates, files};
use scaleset_crds::reference::reference;

fn main() -> std::io::Result<()> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(manifests), Some(templates)) = (paths.next(), paths.next()) else {
        eprintln!("usage: crdgen MANIFESTS TEMPLATES [REFERENCE]");
        std::process::exit(2);
    };
    for (directory, contents) in [(manifests, files()), (templates, chart_templates())] {
        for (name, text) in contents {
            std::fs::write(directory.join(name), text)?;
        }
    }
    if let Some(page) = paths.next() {
        std::fs::write(page, reference())?;
    }
    Ok(())
}
