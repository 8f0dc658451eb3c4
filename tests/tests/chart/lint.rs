//! What helm itself has to say.

use scaleset_tests::chart::{Chart, Helm};

#[test]
fn helm_finds_nothing_to_complain_of() -> anyhow::Result<()> {
    let helm = Helm::offline()?;
    for chart in [Chart::Definitions, Chart::Controller] {
        helm.run(&["lint", "--strict", &chart.path().display().to_string()])?;
    }
    Ok(())
}
