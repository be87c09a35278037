//! [`Tls`]: rustls on ring, for a server that proves who it is.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use subwire::{Result, Status};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::invalid_config;

/// How to speak TLS with a server that proves who it is.
#[derive(Clone)]
pub(crate) struct Tls(pub(crate) MakeRustlsConnect);

impl Tls {
    /// `roots`: a PEM file of those who may sign; else those whom the system trusts.
    pub(crate) fn new(roots: Option<&Path>) -> Result<Self> {
        let roots = match roots {
            Some(file) => from_file(file)?,
            None => of_the_system(),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid_config(format!("TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(MakeRustlsConnect::new(config)))
    }
}

fn from_file(file: &Path) -> Result<RootCertStore> {
    let wrong = |why: String| -> Status { invalid_config(format!("sslrootcert={}: {why}", file.display())) };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(wrong("it has no certificate".to_owned())),
        false => Ok(roots),
    }
}

fn of_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::debug!(%error, "a certificate of the system cannot be read");
    }
    // Systems keep some that no rustls understands.
    roots.add_parsable_certificates(found.certs);
    roots
}
