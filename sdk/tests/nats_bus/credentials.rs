//! Who we are.

use std::sync::Arc;

use subwire::{
    Code,
    bus::{Bus, NatsOptions},
    testing::NatsServer,
};

/// No wait of these tests is longer.
use crate::support::*;

#[tokio::test]
async fn credentials_are_proven_in_every_way() {
    let seed = nkeys::KeyPair::new_user();
    let authorization = format!(
        "authorization: {{ users: [ {{ user: ann, password: \"p@s/s\" }}, {{ nkey: {} }} ] }}",
        seed.public_key()
    );
    let users = NatsServer::builder().config(authorization).start().await.expect("a server");
    let token = NatsServer::builder().config("authorization: { token: \"t=1\" }").start().await.expect("a server");
    let seed = seed.seed().expect("a seed");
    let file = users.folder().join("user.nk");
    std::fs::write(&file, format!("-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"))
        .expect("written");
    for options in [
        NatsOptions::new(users.url()).user_and_password("ann", "p@s/s"),
        NatsOptions::new(users.client_url("ann", "p%40s%2Fs")),
        NatsOptions::new(users.url()).nkey(seed),
        NatsOptions::new(users.url()).nkey_file(file),
        NatsOptions::new(token.url()).token("t=1"),
        NatsOptions::new(token.url().replace("nats://", "nats://t%3D1@")),
    ] {
        let shown = format!("{options:?}");
        let bus = soon("a connection", Bus::nats(options)).await.expect(&shown);
        soon("a fence", bus.fence()).await.expect(&shown);
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_without_being_shown() {
    let server = NatsServer::builder().config(PERMISSIONS).start().await.expect("a server");
    for options in [
        NatsOptions::new(server.url()),
        NatsOptions::new(server.client_url("ann", "wr0ng")),
        NatsOptions::new(server.url()).token("wr0ng"),
        NatsOptions::new(server.url()).nkey(nkeys::KeyPair::new_user().seed().expect("a seed")),
    ] {
        let status = soon("a refusal", Bus::nats(options)).await.expect_err("refused");
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        let shown = format!("{status} {status:?}");
        assert!(shown.contains(&server.address()) && !shown.contains("wr0ng"), "{shown}");
    }
}

#[tokio::test]
async fn credentials_that_are_withdrawn_close_the_bus() {
    let mut server = NatsServer::builder().config(PERMISSIONS).start().await.expect("a server");
    let bus = soon("a connection", Bus::nats(server.client_url("ann", "s3cret"))).await.expect("connected");
    let mut subscription = subscribe(&bus, "may.read").await;
    server.reload(PERMISSIONS.replace("s3cret", "other")).expect("reloaded");
    let mut link = bus.link();
    let closed = soon("the end", link.wait_for(|link| link.closed.is_some())).await.expect("alive").closed.clone();
    assert_eq!(closed.expect("a reason").code(), Code::Unauthenticated);
    assert_eq!(bus.publish(message("may.send", "")).await.expect_err("closed").code(), Code::Unauthenticated);
    assert!(soon("the end", subscription.next()).await.is_none());
}

#[tokio::test]
async fn a_credentials_file_is_read_again_when_it_was_refused() {
    let (server, account, first) = jwt_server().await;
    let file = server.folder().join("user.creds");
    std::fs::write(&file, &first).expect("written");
    let options = NatsOptions::new(server.url()).credentials_file(&file);
    let bus = soon("a connection", Bus::nats(options)).await.expect("connected");
    soon("a fence", bus.fence()).await.expect("it works");
    let text = NatsOptions::new(server.url()).credentials(creds(&account));
    soon("a connection", Bus::nats(text)).await.expect("connected");
    std::fs::write(&file, "nonsense").expect("written");
    let status = Bus::nats(NatsOptions::new(server.url()).credentials_file(&file)).await.expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
}

/// A server with an operator and an account in memory, the account, and the credentials of a user.
async fn jwt_server() -> (NatsServer, Arc<nkeys::KeyPair>, String) {
    let (operator, account) = (nkeys::KeyPair::new_operator(), Arc::new(nkeys::KeyPair::new_account()));
    let operator_jwt = jwt(&operator, &operator.public_key(), r#"{"type":"operator","version":2}"#);
    let limits = r#"{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1}"#;
    let account_claims = format!(r#"{{"type":"account","version":2,"limits":{limits}}}"#);
    let account_jwt = jwt(&operator, &account.public_key(), &account_claims);
    let config = format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload: {{ {}: {account_jwt} }}",
        account.public_key()
    );
    let server = NatsServer::builder().config(config).start().await.expect("a server");
    let credentials = creds(&account);
    (server, account, credentials)
}

fn creds(account: &nkeys::KeyPair) -> String {
    let user = nkeys::KeyPair::new_user();
    let claims = r#"{"type":"user","version":2,"subs":-1,"data":-1,"payload":-1}"#;
    let (jwt, seed) = (jwt(account, &user.public_key(), claims), user.seed().expect("a seed"));
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

/// A JWT as NATS has it (ADR-14): signed with ed25519, `nats` holds the claims.
fn jwt(issuer: &nkeys::KeyPair, subject: &str, claims: &str) -> String {
    let encode = |text: &[u8]| data_encoding::BASE64URL_NOPAD.encode(text);
    let body = format!(
        r#"{{"jti":"{subject}","iat":1700000000,"iss":"{}","name":"test","sub":"{subject}","nats":{claims}}}"#,
        issuer.public_key()
    );
    let unsigned = format!("{}.{}", encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#), encode(body.as_bytes()));
    let signature = issuer.sign(unsigned.as_bytes()).expect("signed");
    format!("{unsigned}.{}", encode(&signature))
}
