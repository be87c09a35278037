//! Connections that part, break, and are too slow: one fault at a time.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_partition_ends_calls_on_both_sides() {
    // Wherever in the beat it falls.
    for after_ms in (0..2_000).step_by(250) {
        for cut in [FaultsControl::partition, FaultsControl::mute, FaultsControl::deafen] {
            for of_client in [true, false] {
                let fixture = Fixture::healthy().await;
                let (call, mut numbers) = fixture.two_long_calls().await;
                sleep(Duration::from_millis(after_ms)).await;
                cut(if of_client { &fixture.client_link } else { &fixture.service_link });
                let cut_at = Instant::now();
                let status = within(PEER_LOST, numbers.message()).await.expect_err("nobody there");
                assert_eq!(status.error_info().map(|info| info.reason).as_deref(), Some("PEER_LOST"), "{status:?}");
                assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::Maybe));
                let status = within(PEER_LOST, call).await.expect("no panic").expect_err("nobody there");
                assert_eq!(status.code(), Code::Unavailable);
                assert!(cut_at.elapsed() <= PEER_LOST, "{:?}", cut_at.elapsed());
                // A service that hears its callers learns from their silence that they gave up.
                fixture.idle(2 * PEER_LOST).await;
                fixture.client_link.heal();
                fixture.service_link.heal();
                fixture.echo.echo(EchoRequest::default()).await.expect("it works again");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_accepted_is_given_up() {
    let fixture = Fixture::healthy().await;
    fixture.service_link.mute();
    let status = within(3 * SECOND, fixture.echo.count(CountRequest::default()).into_future()).await;
    assert_eq!(status.expect_err("silence").code(), Code::Unavailable);
    fixture.idle(PEER_LOST).await;
}

/// Every grant of credit is lost; what a beat says of it is enough to go on.
#[tokio::test(start_paused = true)]
async fn a_beat_heals_lost_credit() {
    let grants = |message: &Message| {
        let subject = message.subject.as_str();
        subject.contains("._i.") && !subject.ends_with("._beat")
    };
    let client = Faults::seeded(0).drop(1.0).only(grants).outbound_only();
    let fixture = Fixture::new(client, Faults::seeded(0)).await;
    count(&fixture.echo, STANDSTILL, 300, 0, 20_000).await.expect("six windows");
    assert!(fixture.client_link.counts().lost > 0, "no grant was lost");
}

/// A caller that knows nobody to ask gives up all the same.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_accept_was_lost_is_given_up() {
    let broker = Bus::memory();
    let (service, link) = Faults::seeded(0).drop(1.0).only(nth(0)).outbound_only().wrap(&broker);
    // A handler that waits, so that the service says first that it has the call, and no more.
    let waits = tower::util::MapFutureLayer::new(|answer| async move {
        sleep(100 * MS).await;
        answer.await
    });
    let server = Server::builder(service).layer(waits).add(EchoServer::new(Echo::default())).start().await;
    let server = server.expect("a server");
    let echo = EchoClient::new(&broker);
    let request = CountRequest { messages: 1_000, delay_ms: 100, ..CountRequest::default() };
    let mut numbers = echo.count(request).await.expect("a stream");
    assert_eq!(link.counts().lost, 1);
    link.partition();
    let failed = async { while numbers.message().await.is_ok_and(|number| number.is_some()) {} };
    within(PEER_LOST, failed).await;
    sleep(PEER_LOST).await;
    assert_eq!(server.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_ends_calls_at_once() {
    let fixture = Fixture::healthy().await;
    let (call, mut numbers) = fixture.two_long_calls().await;
    let cut_at = Instant::now();
    fixture.client_link.disconnect();
    let status = numbers.message().await.expect_err("cut");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::Maybe));
    let status = call.await.expect("no panic").expect_err("cut");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::Maybe));
    let status = fixture.echo.echo(EchoRequest::default()).await.expect_err("no connection");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
    let status = fixture.echo.count(CountRequest::default()).await.expect_err("no connection");
    assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
    assert_eq!(cut_at.elapsed(), Duration::ZERO);
    fixture.idle(PEER_LOST).await;
}

#[tokio::test(start_paused = true)]
async fn a_patient_call_waits_for_the_connection() {
    let fixture = Fixture::healthy().await;
    fixture.client_link.disconnect();
    let waiting = tokio::spawn(fixture.patient.echo(EchoRequest::default()).into_future());
    sleep(3 * SECOND).await;
    assert!(!waiting.is_finished());
    fixture.client_link.reconnect();
    within(LATE, waiting).await.expect("no panic").expect("an answer");

    fixture.client_link.disconnect();
    let before = Instant::now();
    let status = fixture.patient.echo(EchoRequest::default()).timeout(SECOND).await.expect_err("no connection");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(before.elapsed() <= SECOND + LATE);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_cut_off_serves_again() {
    let fixture = Fixture::healthy().await;
    for _ in 0..3 {
        let (call, mut numbers) = fixture.two_long_calls().await;
        fixture.service_link.disconnect();
        fixture.idle(MS).await;
        // The broker knows that nobody is there.
        let status = fixture.echo.echo(EchoRequest::default()).await.expect_err("nobody there");
        assert_eq!((status.code(), status.executed()), (Code::Unavailable, Executed::No));
        assert_eq!(within(PEER_LOST, numbers.message()).await.expect_err("cut").code(), Code::Unavailable);
        assert_eq!(within(PEER_LOST, call).await.expect("no panic").expect_err("cut").code(), Code::Unavailable);
        fixture.service_link.reconnect();
        let again = async {
            while fixture.echo.echo(EchoRequest::default()).await.is_err() {
                sleep(MS).await
            }
        };
        within(SECOND, again).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_loses_messages_and_is_told() {
    let broker = Bus::memory();
    let (bus, link) = Faults::seeded(0).buffer(10).wrap(&broker);
    let subject = Subject::new("s").expect("legal");
    let mut events = bus.events();
    let mut subscription = bus.listen(subject.clone(), None).await.expect("subscribed");
    for n in 0..50u32 {
        broker.publish(Message::new(subject.clone(), n.to_string())).await.expect("sent");
    }
    for n in 0..10u32 {
        assert_eq!(subscription.next().await.expect("open").payload, n.to_string().as_bytes());
    }
    assert_eq!((subscription.dropped(), link.counts().overflowed), (40, 40));
    events.recv().await.expect("an event");
    broker.publish(Message::new(subject, "last")).await.expect("sent");
    assert_eq!(&*subscription.next().await.expect("open").payload, b"last");
}

/// A router with room for a few messages loses frames; its streams must notice every time.
#[tokio::test(start_paused = true)]
async fn a_stream_that_overflows_fails() {
    let fixture = Fixture::new(Faults::seeded(0).buffer(1), Faults::seeded(0)).await;
    let mut overflowed = 0;
    for messages in [1, 10, 1_000, 20_000, 100_000] {
        let outcome = count(&fixture.echo, STANDSTILL, messages, 0, 100).await;
        let dropped = fixture.client_link.counts().overflowed;
        assert_eq!(outcome.is_err(), dropped > overflowed, "{outcome:?}");
        overflowed = dropped;
    }
    assert!(overflowed > 0, "nothing overflowed");
    // The service is told, and need not find out.
    fixture.idle(LATE).await;
}

#[tokio::test(start_paused = true)]
async fn a_wrapped_bus_is_a_connection_of_its_own() {
    let broker = Bus::memory();
    let (one, _) = Faults::seeded(0).wrap(&broker);
    let (other, _) = Faults::seeded(0).wrap(&broker);
    let subject = Subject::new("s").expect("legal");
    let mut of_one = one.listen(subject.clone(), None).await.expect("subscribed");
    let mut of_other = other.listen(subject.clone(), None).await.expect("subscribed");
    one.close().await.expect("closed");
    assert!(of_one.next().await.is_none());
    assert_eq!(one.publish(Message::new(subject.clone(), "")).await.expect_err("closed").code(), Code::Unavailable);
    broker.publish(Message::new(subject, "x")).await.expect("sent");
    assert_eq!(&*of_other.next().await.expect("open").payload, b"x");
    drop(other);
    assert!(of_other.next().await.is_none());
}
