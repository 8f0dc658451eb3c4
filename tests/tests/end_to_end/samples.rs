//! The samples that the local run applies.

use anyhow::ensure;
use scaleset_tests::local::cluster::workspace;

use crate::world::run;

#[test]
fn the_samples_are_valid_become_ready_and_may_be_applied_again() {
    run("samples", async |scene| {
        let directory = workspace().join("hack/samples").display().to_string();
        scene.kubectl(&["apply", "--dry-run=server", "--validate=strict", "-f", &directory])?;
        scene.kubectl(&["apply", "-f", &directory])?;
        scene.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "vmss", "--all"])?;
        let set = scene.settled("web").await?;
        assert_eq!(set.status.and_then(|status| status.ready_replicas), Some(3));
        scene.flex_vm_settled("jumpbox").await?;
        scene.flex_vm_settled("newvm").await?;
        scene
            .until("demo-set counts what it made and what was made by hand", async || {
                let status = scene.settled("demo-set").await?.status.unwrap_or_default();
                let counts = (status.capacity, status.ready_replicas);
                ensure!(counts == (Some(2), Some(2)), "capacity and ready are {counts:?}");
                Ok(())
            })
            .await?;
        // What a list's item leaves to a default, kubectl would send again each time.
        let again = scene.kubectl(&["apply", "-f", &directory])?;
        assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
        scene.one_machine_for_each_instance().await
    });
}
