//! TLS, where the URL asks for it.

use std::fs;

use rcgen::{CertificateParams, KeyPair};
use subwire::Code;
use subwire_archive::{Archive, testing::PostgresServer};

use crate::note::Note;

#[tokio::test]
async fn a_server_has_to_prove_who_it_is() {
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).expect("names").self_signed(&key).expect("a certificate");
    // It refuses whoever comes without TLS, so that a connection is proof.
    let postgres = PostgresServer::builder()
        .file("server.crt", certificate.pem())
        .file("server.key", key.serialize_pem())
        .file("hba.conf", "hostssl all all 127.0.0.1/32 scram-sha-256\n")
        .setting("ssl=on")
        .setting("ssl_cert_file=../server.crt")
        .setting("ssl_key_file=../server.key")
        .setting("hba_file=hba.conf")
        .start()
        .await
        .expect("a PostgreSQL with TLS");
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("our ca.pem");
    fs::write(&roots, certificate.pem()).expect("a file");

    let trusting = format!("{}?sslmode=verify-full&sslrootcert={}", postgres.url(), roots.display());
    let archive = Archive::connect(trusting.replace(' ', "%20")).await.expect("a server that we trust");
    assert_eq!(archive.events::<Note>().count().await.expect("a table"), 0);

    // The system trusts nobody who signs for themselves.
    let status = Archive::connect(format!("{}?sslmode=require", postgres.url())).await.expect_err("a stranger");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let status = Archive::connect(postgres.url()).await.expect_err("not without TLS");
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
}
