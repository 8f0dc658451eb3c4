//! The certificate authority of one control plane, and what it signs.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::{ControlPlaneError, file};

/// Key and certificate, both PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A certificate authority, kept in a directory so that what it signed stays valid over restarts.
pub(crate) struct Authority {
    pub(crate) certificate: String,
    key: String,
}

impl Authority {
    /// The authority of `directory`, made where there is none.
    pub(crate) fn open(directory: &Path) -> Result<Self, ControlPlaneError> {
        let (certificate_path, key_path) = (directory.join("ca.crt"), directory.join("ca.key"));
        if !certificate_path.exists() {
            let key = KeyPair::generate()?;
            let certificate = authority_params().self_signed(&key)?;
            write(&key_path, &key.serialize_pem())?;
            write(&certificate_path, &certificate.pem())?;
        }
        let read = |path: &Path| fs::read_to_string(path).map_err(file(path));
        Ok(Self { certificate: read(&certificate_path)?, key: read(&key_path)? })
    }

    /// A client certificate for `user` in `groups`.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> Result<Identity, ControlPlaneError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(user, groups);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    /// A certificate for the server `who`, which is reached by `names`.
    pub(crate) fn server(&self, who: &str, names: Vec<String>) -> Result<Identity, ControlPlaneError> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = name(who, &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Identity, ControlPlaneError> {
        let issuer = Issuer::new(authority_params(), KeyPair::from_pem(&self.key)?);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name = name("scaleset-control-plane", &[]);
    params
}

/// The key pair that signs service account tokens: (private, public), PEM.
pub(crate) fn service_account_key() -> Result<(String, String), ControlPlaneError> {
    let key = KeyPair::generate()?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

fn name(common_name: &str, organizations: &[&str]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for organization in organizations {
        name.push(DnType::OrganizationName, *organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

/// Writes a file that only its owner may read, whole or not at all: another process or test may be reading it.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), ControlPlaneError> {
    use std::io::Write;
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut fresh = tempfile::NamedTempFile::new_in(directory).map_err(file(path))?;
    fresh.write_all(text.as_bytes()).map_err(file(path))?;
    fresh.persist(path).map(drop).map_err(|error| file(path)(error.error))
}
