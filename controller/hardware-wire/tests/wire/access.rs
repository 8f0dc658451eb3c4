//! Who is let in: by token, and by certificate.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use scaleset_hardware::Hardware;
use scaleset_hardware_wire::TokenFile;
use scaleset_hardware_wire::client::{RemoteHardware, RemoteOptions};
use scaleset_hardware_wire::server::Guard;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::fixture::{Server, simulation};

/// Why the hardware does not let us in; none where it does.
async fn refusal(options: &RemoteOptions) -> Option<String> {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let waiting = move |reason: &str| drop(tell.send(reason.to_owned()));
    tokio::select! {
        connected = RemoteHardware::connect(options, 0, waiting) => {
            let remote = connected.unwrap().unwrap();
            assert_eq!(remote.observe("a").await, Ok(None));
            None
        }
        Some(reason) = told.recv() => Some(reason),
    }
}

fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_token_is_let_in() {
    let (simulation, _) = simulation();
    let directory = tempfile::tempdir().unwrap();
    let shared = file(directory.path(), "shared", "a-shared-token\n");
    let guard = Guard::Token(TokenFile::open(shared.clone()).unwrap());
    let server = Server::guarded(&simulation, guard, None, "127.0.0.1:0".parse().unwrap());
    let with = |token: Option<PathBuf>| RemoteOptions { token_file: token, ..server.options() };
    assert_eq!(refusal(&with(Some(shared))).await, None);
    let other = file(directory.path(), "other", "another-token");
    let refused = refusal(&with(Some(other))).await.unwrap();
    assert!(refused.ends_with(": it does not let us in: the token is not the shared one"), "{refused}");
    let refused = refusal(&with(None)).await.unwrap();
    assert!(refused.ends_with("a token is needed; give one with --hardware-token-file"), "{refused}");
    let nowhere = with(Some(directory.path().join("nowhere"))).check().unwrap_err().to_string();
    assert!(nowhere.starts_with("token file ") && nowhere.contains("No such file"), "{nowhere}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_hardware_is_reached_by_whoever_knows_its_authority() {
    let (simulation, _) = simulation();
    let directory = tempfile::tempdir().unwrap();
    let ours = Authority::new();
    let (certificate, key) = ours.identity("127.0.0.1");
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    let token = file(directory.path(), "token", "a-token");
    let guard = Guard::Token(TokenFile::open(token.clone()).unwrap());
    let server = Server::guarded(&simulation, guard, Some(tls), "127.0.0.1:0".parse().unwrap());
    let with = |ca_file| RemoteOptions {
        url: format!("https://{}", server.address),
        ca_file,
        identity_files: None,
        token_file: Some(token.clone()),
    };
    let ca = file(directory.path(), "ca.pem", &ours.pem());
    assert_eq!(refusal(&with(Some(ca))).await, None);
    let unknown = with(None).check().unwrap_err().to_string();
    let told = "the authority of its certificate is needed; give it with --hardware-ca-file";
    assert!(unknown.starts_with("hardware address \"https://") && unknown.ends_with(told), "{unknown}");
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap() }
    }

    /// A certificate for that name and its key, PEM.
    fn identity(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (parameters.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_mutual_tls_only_a_certificate_of_the_authority_is_let_in() {
    let (simulation, _) = simulation();
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (certificate, key) = ours.identity("127.0.0.1");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(ours.pem()));
    let server = Server::guarded(&simulation, Guard::Open, Some(tls), "127.0.0.1:0".parse().unwrap());
    let ca = file(directory.path(), "ca.pem", &ours.pem());
    let identity = |authority: &Authority, name: &str| {
        let (certificate, key) = authority.identity(name);
        let path = |kind: &str| format!("{name}-{kind}.pem");
        (file(directory.path(), &path("cert"), &certificate), file(directory.path(), &path("key"), &key))
    };
    let url = format!("https://{}", server.address);
    let with = |identity_files| RemoteOptions {
        url: url.clone(),
        ca_file: Some(ca.clone()),
        identity_files,
        token_file: None,
    };
    assert_eq!(refusal(&with(Some(identity(&ours, "controller")))).await, None);
    assert!(refusal(&with(Some(identity(&theirs, "stranger")))).await.is_some(), "another authority's");
    assert!(refusal(&with(None)).await.is_some(), "none at all");
    assert!(refusal(&server.options()).await.is_some(), "no TLS at all");
    let foreign = file(directory.path(), "foreign.pem", &theirs.pem());
    let deceived = RemoteOptions { ca_file: Some(foreign), ..with(Some(identity(&ours, "careful"))) };
    assert!(refusal(&deceived).await.is_some(), "the hardware is not who it says it is");
}
