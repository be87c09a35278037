//! Who the server is, and that nobody listens.

use subwire::{
    Code,
    bus::{Bus, NatsOptions},
    testing::NatsServer,
};

/// No wait of these tests is longer.
use crate::support::*;

/// Certificates in files: an authority, a server and a client.
struct Tls {
    folder: tempfile::TempDir,
}

impl Tls {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tls = Self { folder };
        let ca_key = rcgen::KeyPair::generate().expect("a key");
        let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        tls.write("ca.pem", &ca.self_signed(&ca_key).expect("signed").pem());
        let issuer = rcgen::Issuer::new(ca, ca_key);
        for name in ["server", "client"] {
            let key = rcgen::KeyPair::generate().expect("a key");
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let params = rcgen::CertificateParams::new(names).expect("parameters");
            tls.write(&format!("{name}.pem"), &params.signed_by(&key, &issuer).expect("signed").pem());
            tls.write(&format!("{name}.key"), &key.serialize_pem());
        }
        tls
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    async fn server(&self, more: &str) -> NatsServer {
        let [certificate, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|name| self.path(name));
        let config = format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}, {more} }}");
        NatsServer::builder().config(config).start().await.expect("a server")
    }
}

#[tokio::test]
async fn tls_proves_who_the_server_is() {
    let tls = Tls::new();
    let server = tls.server("").await;
    let tls_url = server.url().replace("nats://", "tls://");
    for url in [server.url(), tls_url.clone()] {
        let bus = soon("a connection", Bus::nats(NatsOptions::new(url).tls_ca(tls.path("ca.pem")))).await;
        soon("a fence", bus.expect("connected").fence()).await.expect("it works");
    }
    // The system does not know the authority.
    let status = soon("a refusal", Bus::nats(tls_url)).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unavailable, "{status}");

    let plain = NatsServer::start().await.expect("a server");
    for options in
        [NatsOptions::new(plain.url()).tls_required(), NatsOptions::new(plain.url().replace("nats://", "tls://"))]
    {
        let status = soon("a refusal", Bus::nats(options.tls_ca(tls.path("ca.pem")))).await.expect_err("no TLS there");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
}

#[tokio::test]
async fn tls_proves_who_the_client_is() {
    let tls = Tls::new();
    let server = tls.server("verify: true").await;
    let options = NatsOptions::new(server.url()).tls_ca(tls.path("ca.pem"));
    soon("a refusal", Bus::nats(options.clone())).await.expect_err("no certificate");
    let options = options.tls_certificate(tls.path("client.pem"), tls.path("client.key"));
    let bus = soon("a connection", Bus::nats(options)).await.expect("connected");
    soon("a fence", bus.fence()).await.expect("it works");
}

#[tokio::test]
async fn tls_can_come_first() {
    let tls = Tls::new();
    let server = tls.server("handshake_first: true").await;
    let options = NatsOptions::new(server.url()).tls_ca(tls.path("ca.pem")).tls_first();
    let bus = soon("a connection", Bus::nats(options)).await.expect("connected");
    soon("a fence", bus.fence()).await.expect("it works");
}
