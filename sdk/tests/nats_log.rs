//! What is logged about NATS holds no secret. Alone in its program, because the log is global.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use subwire::{
    bus::{Bus, NatsOptions},
    testing::NatsServer,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that is logged, from the most talkative level on.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic elsewhere").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).init();
    let users = "authorization: { users: [ { user: ann, password: s3cret } ] }";
    let mut server = NatsServer::builder().config(users).start().await.expect("a server");
    let seed = nkeys::KeyPair::new_user().seed().expect("a seed");
    for options in [NatsOptions::new(server.url()).nkey(&seed), NatsOptions::new(server.url()).token("s3cret")] {
        timeout(PATIENCE, Bus::nats(options)).await.expect("in time").expect_err("refused");
    }
    let connecting = Bus::nats(server.client_url("ann", "s3cret"));
    let bus = timeout(PATIENCE, connecting).await.expect("in time").expect("connected");
    server.restart().await.expect("restarted");
    let mut link = bus.link();
    timeout(PATIENCE, link.wait_for(|link| link.up && link.epoch > 1)).await.expect("in time").expect("alive");
    bus.close().await.expect("closed");

    let logged = String::from_utf8_lossy(&log.0.lock().expect("no panic elsewhere")).into_owned();
    assert!(logged.contains("CONNECT"), "the log is as talkative as it can be");
    assert!(!logged.contains("s3cret") && !logged.contains(&seed));
}
