//! The hardware asks the API server whose token a caller shows.

use std::path::Path;

use anyhow::{Context, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, ObjectMeta, PostParams};
use scaleset_control_plane::{Supervisor, free_addresses, log_tail};
use scaleset_hardware::Hardware;
use scaleset_hardware_wire::client::{RemoteHardware, RemoteOptions};
use scaleset_tests::local::binary::Program;
use scaleset_tests::local::until;

use crate::world::{LIMIT, World, run};

const AUDIENCE: &str = "scaleset-hardware";
const NAMESPACE: &str = "token-review";

#[test]
fn only_the_named_account_is_let_in_and_only_with_a_token_for_the_hardware() {
    run(async |world| {
        world.namespace(NAMESPACE).await?;
        let directory = tempfile::tempdir()?;
        let mut supervisor = Supervisor::new()?;
        let [listen, health] = free_addresses()?;
        let arguments = [
            format!("--listen={listen}"),
            format!("--health-listen={health}"),
            format!("--store={}", directory.path().join("hardware.redb").display()),
            format!("--token-audience={AUDIENCE}"),
            format!("--token-user=system:serviceaccount:{NAMESPACE}:ours"),
            format!("--kubeconfig={}", world.cluster.plane().admin_kubeconfig().display()),
        ];
        let log = directory.path().join("log");
        supervisor.start(&Program::Hardware.binary().await?, &arguments, &log)?;
        let url = format!("http://{listen}");
        let (ours, others) = (token(world, "ours", AUDIENCE), token(world, "others", AUDIENCE));
        let (ours, others, elsewhere) = (ours.await?, others.await?, token(world, "ours", "elsewhere").await?);
        until("it lets ours in", LIMIT, async || {
            let refused = refusal(&url, directory.path(), &ours).await?;
            ensure!(refused.is_none(), "it says {refused:?}; the end of its log:\n{}", log_tail(&log, 0, 10));
            Ok(())
        })
        .await?;
        for (token, told) in [
            (&others, "the token must be of system:serviceaccount:token-review:ours, it is of system:serviceaccount"),
            (&elsewhere, "the token is not valid"),
            (&"nonsense".to_owned(), "the token is not valid"),
        ] {
            let refused = refusal(&url, directory.path(), token).await?.context("it was let in")?;
            ensure!(refused.contains(told), "{refused}");
            ensure!(!refused.contains(token.as_str()), "a token is never told");
        }
        Ok(())
    });
}

/// A token of an account, which is made where there is none.
async fn token(world: &World, account: &str, audience: &str) -> anyhow::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), NAMESPACE);
    if accounts.get_opt(account).await?.is_none() {
        let metadata = ObjectMeta { name: Some(account.to_owned()), ..ObjectMeta::default() };
        let object = ServiceAccount { metadata, ..ServiceAccount::default() };
        accounts.create(&PostParams::default(), &object).await?;
    }
    let spec = TokenRequestSpec { audiences: vec![audience.to_owned()], ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    Ok(answer.status.context("no token")?.token)
}

/// Why the hardware does not let a token in; none where it does.
async fn refusal(url: &str, directory: &Path, token: &str) -> anyhow::Result<Option<String>> {
    let path = directory.join("token");
    std::fs::write(&path, token)?;
    let options = RemoteOptions { url: url.to_owned(), token_file: Some(path), ..RemoteOptions::default() };
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let waiting = move |reason: &str| drop(tell.send(reason.to_owned()));
    tokio::select! {
        connected = RemoteHardware::connect(&options, 0, waiting) => {
            let remote = connected?.ok().context("no leader has called")?;
            ensure!(remote.observe("a").await?.is_none());
            Ok(None)
        }
        Some(reason) = told.recv() => Ok(Some(reason)),
    }
}
