//! Events as they are published, to whoever listens.

use std::future::IntoFuture;

use subwire::{
    Code, Event, Received, Result, Status, Subscriber, WhenSlow,
    bus::{Message, Subject},
    reason,
};

use crate::*;

on_both_buses!(
    an_event_reaches_those_who_want_it,
    one_of_a_group_gets_it,
    what_is_no_event_is_reported_and_the_next_one_comes,
    a_slow_subscriber_is_told_what_it_missed,
    headers_and_a_trace_arrive,
    what_cannot_be_a_subject_is_not_sent,
    a_subscriber_ends_with_its_bus,
    one_who_leaves_reads_what_was_sent,
    a_question_gets_an_answer,
    a_question_gets_a_refusal,
    a_question_that_nobody_hears_fails_at_once,
    a_question_may_wait_without_an_end,
    an_answer_goes_to_an_inbox_only,
);

async fn next<E: Event>(subscriber: &mut Subscriber<E>) -> Result<E> {
    within("an event", subscriber.next()).await.expect("open").map(|received| received.event)
}

async fn an_event_reaches_those_who_want_it(broker: Broker) {
    let bus = &broker.bus;
    let mut all = bus.subscribe::<Reading>(ReadingFilter::new()).await.expect("subscribed");
    let mut kitchen = bus.subscribe::<Reading>(ReadingFilter::new().place_room("kitchen")).await.expect("subscribed");
    let mut hall = bus.subscribe::<Reading>(ReadingFilter::new().place_room("hall")).await.expect("subscribed");
    let in_hall = Reading { place: Some(Place { room: "hall".to_owned() }), ..reading(2) };
    bus.publish(&reading(1)).await.expect("sent");
    bus.publish(&in_hall).await.expect("sent");
    assert_eq!(next(&mut all).await.expect("an event"), reading(1));
    assert_eq!(next(&mut all).await.expect("an event"), in_hall);
    assert_eq!(next(&mut kitchen).await.expect("an event"), reading(1));
    assert_eq!(next(&mut hall).await.expect("an event"), in_hall);
}

async fn one_of_a_group_gets_it(broker: Broker) {
    const EVENTS: u64 = 200;
    let bus = &broker.bus;
    let mut one = bus.subscribe::<Reading>(ReadingFilter::new()).queue_group("g").await.expect("subscribed");
    let mut other = bus.subscribe::<Reading>(ReadingFilter::new()).queue_group("g").await.expect("subscribed");
    for value in 0..EVENTS {
        bus.publish(&reading(value)).await.expect("sent");
    }
    let mut values = Vec::new();
    while values.len() < EVENTS as usize {
        let event = within("an event", async {
            tokio::select! {
                event = one.next() => event,
                event = other.next() => event,
            }
        });
        values.push(event.await.expect("open").expect("an event").event.value);
    }
    values.sort_unstable();
    assert!(values.into_iter().eq(0..EVENTS));
}

async fn what_is_no_event_is_reported_and_the_next_one_comes(broker: Broker) {
    let bus = &broker.bus;
    let mut all = bus.subscribe::<Reading>(ReadingFilter::new()).await.expect("subscribed");
    let subject = reading(1).subject().expect("legal");
    bus.publish(Message::new(subject, vec![0xff; 3])).await.expect("sent");
    bus.publish(&reading(2)).await.expect("sent");
    let status = next(&mut all).await.expect_err("no reading");
    assert_eq!(status.code(), Code::DataLoss);
    assert_eq!(status.error_info().expect("a reason").reason, reason::MALFORMED_EVENT);
    assert_eq!(next(&mut all).await.expect("an event"), reading(2));
}

async fn a_slow_subscriber_is_told_what_it_missed(broker: Broker) {
    const EVENTS: u64 = 1_000;
    let bus = &broker.bus;
    for when_slow in [WhenSlow::Fail, WhenSlow::DropOldest, WhenSlow::DropNewest] {
        let subscribe = bus.subscribe::<Reading>(ReadingFilter::new()).unread(10).when_slow(when_slow);
        let mut slow = subscribe.await.expect("subscribed");
        let mut quick = bus.subscribe::<Reading>(ReadingFilter::new()).await.expect("subscribed");
        for value in 0..EVENTS {
            bus.publish(&reading(value)).await.expect("sent");
        }
        for value in 0..EVENTS {
            assert_eq!(next(&mut quick).await.expect("an event").value, value);
        }
        // The readers are tasks of one thread, and what they do takes no time: once the quick one has all,
        // the slow one has had all. On NATS its messages may still be under way, so it reads until it has all.
        let (mut got, mut dropped) = (0, 0);
        while got + dropped < EVENTS {
            match within("an item", slow.next()).await {
                Some(Ok(_)) => got += 1,
                Some(Err(status)) => {
                    let info = status.error_info().expect("a reason");
                    assert_eq!((status.code(), &*info.reason), (Code::ResourceExhausted, reason::SLOW_CONSUMER));
                    dropped += info.metadata["dropped"].parse::<u64>().expect("a number");
                }
                None => break,
            }
        }
        assert!(dropped > 0 && dropped == slow.dropped(), "{when_slow:?}: {dropped}");
        match when_slow {
            WhenSlow::Fail => assert!(slow.next().await.is_none(), "a loss is the end"),
            WhenSlow::DropOldest | WhenSlow::DropNewest => assert_eq!(got + dropped, EVENTS, "{when_slow:?}"),
        }
    }
}

async fn headers_and_a_trace_arrive(broker: Broker) {
    let bus = &broker.bus;
    let mut all = bus.subscribe::<Reading>(ReadingFilter::new()).await.expect("subscribed");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let message = reading(1).to_message().expect("legal");
    bus.publish(message.with_header("traceparent", trace).with_header("tenant", "acme")).await.expect("sent");
    let received = within("an event", all.next()).await.expect("open").expect("an event");
    assert_eq!(received.subject, Subject::new("testing.reading.kitchen.temperature").expect("legal"));
    assert_eq!(received.headers.get("traceparent"), Some(trace));
    assert_eq!(received.headers.get("tenant"), Some("acme"));
    assert_eq!(received.headers.get("nats-msg-id"), Some("reading-1"));
}

async fn what_cannot_be_a_subject_is_not_sent(broker: Broker) {
    let bus = &broker.bus;
    let mut everything = bus.listen(Subject::pattern("testing.>").expect("legal"), None).await.expect("subscribed");
    let status = bus.publish(&Reading::default()).await.expect_err("no room");
    assert_eq!(status.code(), Code::InvalidArgument);
    bus.publish(&reading(1)).await.expect("sent");
    let first = within("a message", everything.next()).await.expect("open");
    assert_eq!(first.subject.as_str(), "testing.reading.kitchen.temperature");
}

async fn a_subscriber_ends_with_its_bus(broker: Broker) {
    let mut all = broker.bus.subscribe::<Reading>(ReadingFilter::new()).await.expect("subscribed");
    broker.bus.close().await.expect("closed");
    assert!(within("the end", all.next()).await.is_none());
}

async fn one_who_leaves_reads_what_was_sent(broker: Broker) {
    let bus = &broker.bus;
    let mut all = bus.subscribe::<Reading>(ReadingFilter::new()).await.expect("subscribed");
    for value in 0..10 {
        bus.publish(&reading(value)).await.expect("sent");
    }
    bus.fence().await.expect("sent");
    all.drain();
    for value in 0..10 {
        assert_eq!(next(&mut all).await.expect("an event").value, value);
    }
    assert!(within("the end", all.next()).await.is_none());
}

/// Answers one question, and has its answer.
async fn asked<T>(broker: &Broker, respond: impl AsyncFnOnce(Received<Ping>) -> T) -> Result<Note> {
    let bus = &broker.bus;
    let mut questions = bus.subscribe::<Ping>(PingFilter::new()).await.expect("subscribed");
    let question = Ping { number: 7, urgent: true };
    let answer = bus.request::<Note>(&question).into_future();
    let (answer, _) = tokio::join!(within("an answer", answer), async {
        let question = within("a question", questions.next()).await.expect("open").expect("a ping");
        respond(question).await
    });
    answer
}

async fn a_question_gets_an_answer(broker: Broker) {
    let note = Note { author: "ann".to_owned(), text: "seven".to_owned() };
    let answer = asked(&broker, async |question| question.respond(&broker.bus, &note).await.expect("sent")).await;
    assert_eq!(answer.expect("an answer"), note);
}

async fn a_question_gets_a_refusal(broker: Broker) {
    let why = Status::failed_precondition("not today");
    let answer = asked(&broker, async |question| question.refuse(&broker.bus, &why).await.expect("sent")).await;
    let status = answer.expect_err("refused");
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "not today"));
}

async fn a_question_that_nobody_hears_fails_at_once(broker: Broker) {
    let question = Ping { number: 7, urgent: true };
    let status = within("an answer", broker.bus.request::<Note>(&question).timeout(PATIENCE * 10).into_future()).await;
    let status = status.expect_err("nobody listens");
    assert_eq!(status.error_info().expect("a reason").reason, reason::NO_RESPONDERS);
    let mut deaf = broker.bus.subscribe::<Ping>(PingFilter::new()).await.expect("subscribed");
    let status = broker.bus.request::<Note>(&question).timeout(Duration::from_millis(50)).await.expect_err("too late");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(within("the question", deaf.next()).await.is_some());
}

async fn a_question_may_wait_without_an_end(broker: Broker) {
    let bus = &broker.bus;
    let mut questions = bus.subscribe::<Ping>(PingFilter::new()).await.expect("subscribed");
    let question = Ping { number: 7, urgent: true };
    let asking = bus.request::<Note>(&question).timeout(Duration::MAX).into_future();
    let note = Note { author: "ann".to_owned(), text: "seven".to_owned() };
    let (answer, ()) = tokio::join!(within("an answer", asking), async {
        let question = within("a question", questions.next()).await.expect("open").expect("a ping");
        question.respond(bus, &note).await.expect("sent");
    });
    assert_eq!(answer.expect("an answer"), note);
}

async fn an_answer_goes_to_an_inbox_only(broker: Broker) {
    let bus = &broker.bus;
    let mut questions = bus.subscribe::<Ping>(PingFilter::new()).await.expect("subscribed");
    let api = Subject::new("$JS.API.STREAM.DELETE.TESTING").expect("legal");
    let question = Ping { number: 7, urgent: true }.to_message().expect("legal");
    bus.publish(question.with_reply(api)).await.expect("sent");
    let question = within("a question", questions.next()).await.expect("open").expect("a ping");
    let status = question.respond(bus, &Note::default()).await.expect_err("no inbox");
    assert_eq!(status.code(), Code::FailedPrecondition);
}
