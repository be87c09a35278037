//! Peers that do not play by the rules.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_does_no_harm() {
    const RANDOM_MESSAGES: usize = 1_000;
    let nats = NatsServer::start().await.expect("a server");
    let service = Echo::default();
    let watch = service.watch.clone();
    let running = Server::builder(connect(&nats).await).add(EchoServer::new(service)).start().await.expect("a server");
    let bus = connect(&nats).await;
    let echo = EchoClient::new(&bus);
    // What the service must not be made to say.
    let observer = connect(&nats).await;
    let mut streams = observer.listen(Subject::pattern("$JS.>").expect("legal"), None).await.expect("subscribed");
    let mut others = observer.listen(Subject::pattern("svc.ai.>").expect("legal"), None).await.expect("subscribed");
    observer.fence().await.expect("the server knows");

    let mut flowing = echo
        .count(CountRequest { messages: 1_000_000, delay_ms: 1, ..CountRequest::default() })
        .await
        .expect("a stream");
    assert!(flowing.message().await.expect("a message").is_some());

    let call = "AAAAAAAAAAAAAAAAAAAAAA";
    let instance = format!("svc.testing.echo.v1._i.{}", running.instance());
    let subjects =
        ["echo", "echo_soon", "count", "sum", "talk", "_cancel"].map(|name| format!("svc.testing.echo.v1.{name}"));
    let own = ["_beat", "_", call, &format!("{call}.x")].map(|token| format!("{instance}.{token}"));
    let subjects: Vec<String> = subjects.into_iter().chain(own).collect();
    let now = unix_ms();
    let replies = [
        String::new(),
        "_INBOX.raw".to_owned(),
        "_INBOX".to_owned(),
        "$JS.API.STREAM.DELETE.X".to_owned(),
        "svc.ai.llm.v1.infer".to_owned(),
        format!("svc.ai.{call}.1000000.{now}"),
        format!("$JS.API.{call}.0.0"),
        format!("_INBOX.raw.{call}.0.0"),
        format!("_INBOX.raw.{call}.18446744073709551615.18446744073709551615"),
        format!("_INBOX.raw.{call}.99999999999999999999999.{now}"),
        format!("_INBOX.raw.{call}.1000000.{now}"),
    ];
    let headers = [
        None,
        Some("Subwire-Timeout: 0"),
        Some("Subwire-Timeout: -1"),
        Some("Subwire-Timeout: 18446744073709551615"),
        Some("Subwire-Timeout: 99999999999999999999999999"),
        Some("Subwire-Timeout: soon"),
        Some("Subwire-Frame: 1"),
        Some("Subwire-Frame: 1\r\nx: %FF%"),
        Some("x-bin: not base64!"),
        Some("Nats-Service-Error-Code: 5"),
    ];
    let mut attacker = Raw::connect(&nats).await;
    for subject in &subjects {
        for reply in &replies {
            for headers in headers {
                for payload in lies() {
                    attacker.publish(subject, reply, headers, &payload).await;
                }
            }
        }
        attacker.fence().await;
        echo.echo(EchoRequest::default()).await.expect("others are answered");
    }
    let mut random = SmallRng::seed_from_u64(1);
    for n in 0..RANDOM_MESSAGES {
        let mut payload = vec![0; random.random_range(0..300)];
        random.fill_bytes(&mut payload);
        let headers = headers[random.random_range(0..headers.len())];
        attacker.publish(&subjects[n % subjects.len()], &replies[n % replies.len()], headers, &payload).await;
    }
    attacker.fence().await;

    works_again(&bus).await;
    for _ in 0..100 {
        assert!(flowing.message().await.expect("no failure").is_some(), "the stream goes on");
    }
    drop(flowing);
    within(PEER_LOST, "no handler is left", watch.running.until(|running| *running == 0)).await;
    // It waits for calls that it has, and for longer than this.
    within(PEER_LOST, "no call is left", running.stop()).await.expect("stopped");
    observer.fence().await.expect("everything has come");
    for subscription in [&mut streams, &mut others] {
        let heard = timeout(Duration::ZERO, subscription.next()).await;
        assert!(heard.is_err(), "the service was made to say {heard:?}");
    }
}

/// Payloads that are not what they say.
fn lies() -> Vec<Vec<u8>> {
    let request = EchoRequest { text: "x".repeat(20), ..EchoRequest::default() }.encode_to_vec();
    let long = [&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..], b"x"].concat();
    let seq = |seq: u64| [&[0x09][..], &seq.to_le_bytes()].concat();
    vec![
        Vec::new(),
        vec![0],
        vec![0xff; 64],
        long,
        request[..request.len() - 3].to_vec(),
        // Frames: far ahead, with an end that counts wrong, with a part of 2^63 bytes, with endless credit.
        seq(u64::MAX),
        [seq(1), vec![0x3a, 0x02, 0x18, 0x7f]].concat(),
        [seq(1), vec![0x32, 0x0d, 0x0a, 0x01, 0x00, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]]
            .concat(),
        [seq(0), vec![0x2a, 0x04, 0x08, 0x7f, 0x10, 0x7f]].concat(),
        [seq(1), vec![0x12, 0x7f, 0x00]].concat(),
        vec![0x42, 0x00],
    ]
}
