//! The hardware's process ends in the middle, and comes back.

use std::collections::BTreeMap;

use anyhow::ensure;
use rustix::process::Signal;
use scaleset_hardware::sim::Call;
use scaleset_tests::local::binary::Program;
use scaleset_tests::local::hardware::effective;
use scaleset_tests::local::until;
use serde_json::json;

use crate::world::{Durations, LIMIT, run};

#[test]
fn hardware_that_is_killed_in_the_middle_of_a_roll_comes_back_and_nothing_is_lost() {
    run(async |world| {
        let namespace = "rolled";
        world.namespace(namespace).await?;
        let controller = world.replica(Durations(15, 10, 2)).await?;
        world.make_set(namespace, 10, json!({"upgradePolicy": {"mode": "Automatic"}})).await?;
        world.settled(namespace, 10).await?;
        let size = json!({"spec": {"virtualMachineProfile": {"vmSize": "Standard_D4s_v3"}}});
        world.patch_set(namespace, size).await?;
        for updates in [2, 6] {
            until(&format!("{updates} are being upgraded"), LIMIT, async || {
                let begun = effective(&world.endpoint.journal(namespace).await?, Call::Update).len();
                ensure!(begun >= updates, "{begun} are");
                Ok(())
            })
            .await?;
            let misses = || controller.log_about("waiting for the hardware at", usize::MAX).lines().count();
            let before = misses();
            world.hardware.kill().await?;
            until("the controller misses it", LIMIT, async || {
                ensure!(misses() > before, "it says nothing of it");
                Ok(())
            })
            .await?;
            let set = world.sets(namespace).get("web").await?;
            let members = set.status.and_then(|status| status.replicas);
            assert_eq!(members, Some(10), "what cannot be seen is not gone");
            world.hardware.restart().await?;
        }
        world.settled(namespace, 10).await?;
        let journal = world.endpoint.journal(namespace).await?;
        let mut updated: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in effective(&journal, Call::Update) {
            *updated.entry(entry.uid.as_str()).or_default() += 1;
        }
        assert_eq!(updated.len(), 10, "{updated:?}");
        assert!(updated.values().all(|times| *times == 1), "each once: {updated:?}");
        assert_eq!(effective(&journal, Call::Create).len(), 10, "none was made in place of one that was not seen");
        assert_eq!(effective(&journal, Call::Delete).len(), 0);
        world.remove_set(namespace).await?;
        controller.signal(Signal::TERM)?;
        controller.gone().await
    });
}

#[test]
fn flags_that_cannot_work_are_refused_before_anything_starts() {
    run(async |world| {
        let kubeconfig = format!("--kubeconfig={}", world.cluster.controller_kubeconfig()?.display());
        let controller = Program::Controller.binary().await?;
        let hardware = Program::Hardware.binary().await?;
        let url = "--hardware-url=http://127.0.0.1:9090";
        for (program, flags, told) in [
            (&controller, vec!["--leader-elect"], "--leader-elect needs hardware that all replicas reach"),
            (
                &controller,
                vec![url, "--leader-elect", "--leader-elect-lease-duration-seconds=10"],
                "--leader-elect-lease-duration-seconds (10) must be above --leader-elect-renew-deadline-seconds (10)",
            ),
            (&controller, vec!["--hardware-url=127.0.0.1:9090"], "it must begin with http:// or https://"),
            (&controller, vec![url, "--hardware-token-file=nowhere"], "token file nowhere: No such file"),
            (&hardware, vec!["--listen=0.0.0.0:0"], "cannot listen on 0.0.0.0:0: whoever reaches it could do anything"),
        ] {
            let kubeconfig = (program == &controller).then_some(&kubeconfig);
            let output = std::process::Command::new(program).args(&flags).args(kubeconfig).output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(!output.status.success() && said.contains(told), "{flags:?}: {said}");
        }
        Ok(())
    });
}
