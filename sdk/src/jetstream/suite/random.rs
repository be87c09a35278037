//! Random histories of a stream: on both brokers the same comes of them.

use std::time::Duration;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio::time::Instant;

use super::fixture::{Fixture, eventually, message};
use crate::{
    Result,
    bus::Message,
    jetstream::{Ack, AckPolicy, Action, ConsumerSpec, Deliver, Discard, Purge, Retention, Storage, StreamSpec},
};

/// Histories, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 12;

/// How long a server may take to count.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// What can be done to a stream that nobody reads in that moment.
#[derive(Debug, Clone)]
enum Step {
    Publish(Sent),
    Delete(u64),
    Purge(Purge),
    Limit {
        messages: Option<u64>,
        of_subject: Option<u64>,
    },
    Consumer {
        name: usize,
        deliver: Deliver,
        filter: usize,
    },
    /// It reads something else from now on.
    Filter {
        name: usize,
        filter: usize,
    },
    Retain(Retention),
    Forget(usize),
    /// Somebody reads all that there is, and says so of some.
    Read {
        consumer: usize,
        done: Vec<bool>,
    },
}

#[derive(Debug, Clone)]
struct Sent {
    subject: usize,
    size: usize,
    id: Option<u8>,
    rollup: Option<&'static str>,
    last: Option<u64>,
    last_of_subject: Option<u64>,
}

const SUBJECTS: [&str; 4] = ["s.a", "s.b", "s.a.x", "s.c"];
const FILTERS: [&str; 4] = [">", "s.a", "s.*", "s.c"];
const NAMES: [&str; 2] = ["one", "two"];

impl Sent {
    fn message(&self) -> Message {
        let mut message = message(SUBJECTS[self.subject], &"x".repeat(self.size));
        let mut ask = |name, value: Option<String>| {
            if let Some(value) = value {
                message.headers.append(name, value);
            }
        };
        ask("Nats-Msg-Id", self.id.map(|id| id.to_string()));
        ask("Nats-Rollup", self.rollup.map(str::to_owned));
        ask("Nats-Expected-Last-Sequence", self.last.map(|last| last.to_string()));
        ask("Nats-Expected-Last-Subject-Sequence", self.last_of_subject.map(|last| last.to_string()));
        message
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let rollup = prop::option::weighted(0.05, prop_oneof![Just("sub"), Just("all")]);
    let last = || prop::option::weighted(0.1, 0_u64..12);
    let id = prop::option::weighted(0.3, 0_u8..6);
    (0..SUBJECTS.len(), prop_oneof![Just(0_usize), Just(10), Just(40)], id, rollup, last(), last()).prop_map(
        |(subject, size, id, rollup, last, last_of_subject)| Sent { subject, size, id, rollup, last, last_of_subject },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let purge = prop_oneof![
        Just(Purge::default()),
        (0..FILTERS.len()).prop_map(|filter| Purge { subject: Some(FILTERS[filter].to_owned()), ..Purge::default() }),
        (0_u64..15).prop_map(|before| Purge { before: Some(before), ..Purge::default() }),
        (0..FILTERS.len(), 0_u64..3).prop_map(|(filter, keep)| Purge {
            subject: Some(FILTERS[filter].to_owned()),
            keep: Some(keep),
            ..Purge::default()
        }),
    ];
    // Not the last of each subject: the server counts what is pending by subjects then, also for what
    // comes later and will be handed out twice.
    let deliver = prop_oneof![
        3 => Just(Deliver::All),
        1 => Just(Deliver::New),
        1 => Just(Deliver::Last),
        1 => (1_u64..12).prop_map(Deliver::FromSequence),
    ];
    prop_oneof![
        12 => sent().prop_map(Step::Publish),
        2 => (1_u64..15).prop_map(Step::Delete),
        1 => purge.prop_map(Step::Purge),
        1 => (prop::option::of(1_u64..8), prop::option::of(1_u64..4))
            .prop_map(|(messages, of_subject)| Step::Limit { messages, of_subject }),
        3 => (0..NAMES.len(), deliver, 0..FILTERS.len())
            .prop_map(|(name, deliver, filter)| Step::Consumer { name, deliver, filter }),
        2 => (0..NAMES.len(), 0..FILTERS.len()).prop_map(|(name, filter)| Step::Filter { name, filter }),
        1 => prop_oneof![Just(Retention::Limits), Just(Retention::Interest)].prop_map(Step::Retain),
        1 => (0..NAMES.len()).prop_map(Step::Forget),
        4 => (0..NAMES.len(), vec(any::<bool>(), 8)).prop_map(|(consumer, done)| Step::Read { consumer, done }),
    ]
}

fn spec() -> impl Strategy<Value = StreamSpec> {
    let retention = prop_oneof![Just(Retention::Limits), Just(Retention::Interest), Just(Retention::WorkQueue)];
    let limits = (prop::option::of(1_u64..8), prop::option::of(1_u64..4), prop::option::weighted(0.3, 100_u64..400));
    (retention, limits, any::<bool>(), any::<bool>()).prop_map(|(retention, limits, new, each)| {
        StreamSpec {
            retention,
            // On a disk the server is late with the first place of a stream that was emptied.
            storage: Storage::Memory,
            max_messages: limits.0,
            max_messages_per_subject: limits.1,
            max_bytes: limits.2,
            discard: if new { Discard::New } else { Discard::Old },
            discard_new_per_subject: new && each && limits.1.is_some(),
            allow_rollup: true,
            ..StreamSpec::new("S", ["s.>"])
        }
    })
}

/// What comes of each step, and how the stream is then. It is given time to become what is expected:
/// the server counts some things a little after it has answered.
async fn history(fixture: &Fixture, steps: &[Step], expected: Option<&[(String, String)]>) -> Vec<(String, String)> {
    let mut told = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let outcome = take(fixture, step).await;
        let mut found = state(fixture).await;
        let expected = expected.and_then(|expected| expected.get(number)).map(|(_, state)| state);
        let end = Instant::now() + PATIENCE;
        while expected.is_some_and(|expected| *expected != found) && Instant::now() < end {
            tokio::time::sleep(LOOK).await;
            found = state(fixture).await;
        }
        told.push((outcome, found));
    }
    told
}

async fn state(fixture: &Fixture) -> String {
    let info = fixture.info("S").await;
    // 0 or 1 where there never was a message: the server says either.
    let first = info.first_sequence.max(1);
    let mut state = format!("{} bytes, {first} to {}, {:?}", info.bytes, info.last_sequence, fixture.all("S").await);
    for name in fixture.streams.consumer_names("S").await.expect("a list") {
        // Not what is out: the server may notice only when it is due that a purge has taken it.
        let (pending, _, _) = fixture.progress("S", &name).await;
        state.push_str(&format!("; {name}: {pending} pending"));
    }
    state
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(status) => {
            let reason = status.reason().unwrap_or_default();
            format!("{} {reason}", status.code())
        }
    }
}

async fn take(fixture: &Fixture, step: &Step) -> String {
    let streams = &fixture.streams;
    match step {
        Step::Publish(sent) => kind(fixture.publish(sent.message()).await),
        Step::Delete(place) => kind(streams.delete_message("S", *place).await),
        Step::Purge(purge) => kind(streams.purge_stream("S", purge).await),
        Step::Limit { messages, of_subject } => {
            let mut spec = fixture.info("S").await.spec;
            spec.max_messages = *messages;
            spec.max_messages_per_subject = *of_subject;
            spec.discard_new_per_subject &= of_subject.is_some();
            kind(streams.update_stream(&spec).await.map(drop))
        }
        Step::Consumer { name, deliver, filter } => {
            let filters = vec![FILTERS[*filter].into()].into();
            let spec = ConsumerSpec { deliver: *deliver, filters, ..ConsumerSpec::new("S", NAMES[*name]) };
            kind(streams.put_consumer(&spec, Action::Create).await.map(drop))
        }
        Step::Filter { .. } | Step::Retain(_) | Step::Forget(_) if begins_behind_the_end(fixture).await => {
            String::new()
        }
        Step::Filter { name, filter } => match streams.consumer_info("S", NAMES[*name]).await {
            Ok(mut info) => {
                info.spec.filters = vec![FILTERS[*filter].into()].into();
                kind(streams.put_consumer(&info.spec, Action::Update).await.map(drop))
            }
            Err(status) => kind::<()>(Err(status)),
        },
        Step::Retain(retention) => {
            let spec = StreamSpec { retention: *retention, ..fixture.info("S").await.spec };
            kind(streams.update_stream(&spec).await.map(drop))
        }
        Step::Forget(name) => kind(streams.delete_consumer("S", NAMES[*name]).await),
        Step::Read { consumer, done } => read(fixture, NAMES[*consumer], done).await,
    }
}

/// Whether there is a consumer that waits for a place behind the next one. When its interest ends, the server
/// deletes also what others wait for: that is not done here.
async fn begins_behind_the_end(fixture: &Fixture) -> bool {
    let last = fixture.info("S").await.last_sequence;
    for name in fixture.streams.consumer_names("S").await.expect("a list") {
        if fixture.consumer_info("S", &name).await.ack_floor > last {
            return true;
        }
    }
    false
}

async fn read(fixture: &Fixture, consumer: &str, done: &[bool]) -> String {
    let Ok(info) = fixture.streams.consumer_info("S", consumer).await else { return "nobody".to_owned() };
    let mut places = Vec::new();
    let mut reader = fixture.read("S", consumer).await;
    for place in 0..info.pending {
        let delivered = reader.next().await;
        places.push((delivered.stream_sequence, delivered.attempt));
        if info.spec.ack == AckPolicy::Explicit && done[usize::try_from(place).unwrap_or(0) % done.len()] {
            reader.ack(&delivered, Ack::Done).await;
        }
    }
    format!("read {places:?}")
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_time: 30_000, ..Config::default() })
}

#[test]
fn both_brokers_come_to_the_same() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let server = runtime.block_on(Fixture::nats());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let outcome = runner(cases).run(&(spec(), vec(step(), 1..30)), |(spec, steps)| {
        let (here, there) = runtime.block_on(async {
            let memory = Fixture::memory();
            memory.stream(&spec).await;
            let here = history(&memory, &steps, None).await;
            let _ = server.streams.delete_stream("S").await;
            // The server may still be clearing away what the one before left.
            eventually(true, || async { server.streams.create_stream(&spec).await.is_ok() }).await;
            let there = history(&server, &steps, Some(&here)).await;
            (here, there)
        });
        for (step, (here, there)) in steps.iter().zip(here.iter().zip(&there)) {
            prop_assert_eq!(here, there, "{:?}", step);
        }
        Ok(())
    });
    assert!(outcome.is_ok(), "{}", outcome.expect_err("it failed"));
}
