//! Writes the files of the kustomize base that come from the charts into a directory; `make generate` runs it.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use scaleset_tests::chart::kustomize::files;

fn main() -> anyhow::Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).context("usage: kustomize-base DIRECTORY")?;
    for (name, text) in files()? {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
