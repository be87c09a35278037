//! Each generated event, stream and consumer, compiled as a user's crate would and asked what it is.

use subwire::__codegen::{ConsumerSpec, Event, EventInfo, Filter, Piece, Specs, StreamSpec};
use subwire::Code;

/// The generated code.
mod generated {
    macro_rules! golden {
        ($($case:ident)*) => {$(
            pub(crate) mod $case {
                include!(concat!("golden/", stringify!($case), "/subwire.rs"));
            }
        )*};
    }
    golden! {
        event_names events streams_and_consumers
    }
}

/// Where an event goes.
fn subject(event: &impl Event) -> String {
    event.subject().expect("a subject").as_str().to_owned()
}

/// The field that keeps an event from having a subject.
fn violation(event: &impl Event) -> String {
    let status = event.subject().expect_err("no subject");
    assert_eq!(status.code(), Code::InvalidArgument);
    status.message().to_owned()
}

/// What a filter subscribes to.
fn filtered<E: Event>(filter: impl Into<Filter<E>>) -> String {
    filter.into().subject().expect("a subject").as_str().to_owned()
}

fn info<E: Event>() -> &'static EventInfo {
    E::INFO
}

mod events {
    use super::generated::events::golden::events::v1::*;
    use super::*;

    fn message() -> AgentMessage {
        AgentMessage {
            message_id: "m-1".into(),
            recipient_role: "backend".into(),
            message_type: MessageType::TaskDone.into(),
            text: "done".into(),
        }
    }

    #[test]
    fn an_event_has_a_subject_and_an_id() {
        assert_eq!(subject(&message()), "agent.message.backend.task_done");
        assert_eq!(message().id(), Some("m-1"));
    }

    #[test]
    fn the_schema_is_data() {
        let info = info::<AgentMessage>();
        assert_eq!(info.name, "golden.events.v1.AgentMessage");
        assert_eq!(info.subject, "agent.message.{recipient_role}.{message_type}");
        let pieces = [
            Piece::Text("agent.message."),
            Piece::Field("recipient_role"),
            Piece::Text("."),
            Piece::Field("message_type"),
        ];
        assert_eq!(info.pieces, pieces);
        assert_eq!((info.stream, info.id, info.escape), (Some("agent-messages"), Some("message_id"), false));
        assert_eq!(info.description, "Something that one agent tells another.");
    }

    #[test]
    fn a_filter_leaves_open_what_it_is_not_told() {
        let all = AgentMessageFilter::new;
        assert_eq!(filtered(all()), "agent.message.*.*");
        assert_eq!(filtered(all().recipient_role("backend")), "agent.message.backend.*");
        assert_eq!(filtered(all().message_type(MessageType::Query)), "agent.message.*.query");
        assert!(Filter::from(all().recipient_role("*")).subject().is_err());
    }

    #[test]
    fn a_value_that_is_no_token_is_named() {
        let role = |role: &str| AgentMessage { recipient_role: role.into(), ..message() };
        assert!(violation(&role("")).contains("recipient_role"));
        assert!(violation(&role("a.b")).contains("recipient_role"));
        let kind = |message_type| AgentMessage { message_type, ..message() };
        assert!(violation(&kind(0)).contains("message_type"));
        assert!(violation(&kind(77)).contains("message_type"));
    }

    #[test]
    fn every_kind_of_field_is_a_token() {
        let event = Everything {
            text: "t".into(),
            kind: everything::Kind::Fancy.into(),
            signed: -1,
            unsigned: 2,
            flag: true,
            big: i64::MIN,
            fixed: u64::MAX,
        };
        let expected = "everything.t.fancy.-1.2.true.-9223372036854775808.18446744073709551615";
        assert_eq!(subject(&event), expected);
        let filter = EverythingFilter::new().text("t").kind(everything::Kind::Fancy).signed(-1).unsigned(2);
        let filter = filter.flag(true).big(i64::MIN).fixed(u64::MAX);
        assert_eq!(filtered(filter), expected);
        assert_eq!(event.id(), None);
        assert_eq!(info::<Everything>().description, "Says \"all\" of it.");
    }

    #[test]
    fn fields_of_inner_messages_are_tokens() {
        let team = nested::Team { name: Some("red".into()), size: Some(4) };
        let sender = nested::Sender {
            role: "lead".into(),
            team: Some(team),
            r#type: MessageType::Query.into(),
            ..Default::default()
        };
        let event = Nested {
            sender: Some(sender.into()),
            at: Some(prost_types::Timestamp { seconds: 5, nanos: 0 }),
            shard: Some(3),
            r#type: Some(MessageType::TaskDone.into()),
            note: Some("n".into()),
        };
        assert_eq!(subject(&event), "nested.lead.red.4.query.5.3.task_done.n");
        assert_eq!(event.id(), Some("red"));
        let filter = NestedFilter::new().sender_role("lead").sender_team_name("red").sender_team_size(4);
        let filter = filter.sender_type(MessageType::Query).at_seconds(5).shard(3).r#type(MessageType::TaskDone);
        assert_eq!(filtered(filter.note("n")), subject(&event));
    }

    #[test]
    fn what_is_not_set_is_no_token() {
        assert!(violation(&Nested::default()).contains("sender.role"));
        assert_eq!(Nested::default().id(), None);
    }

    #[test]
    fn any_value_can_be_escaped() {
        let free = |key: &str, parent| Free { key: key.into(), parent };
        let parent = free("a.b*", None);
        assert_eq!(subject(&free("", Some(parent.into()))), "free.%.a%2Eb%2A");
        assert_eq!(subject(&free("é", None)), "free.%C3%A9.%");
        assert_eq!(filtered(FreeFilter::new().parent_key("a.b*")), "free.*.a%2Eb%2A");
    }

    #[test]
    fn an_event_may_have_no_fields() {
        assert_eq!(subject(&Tick {}), "tick");
        assert_eq!(filtered(TickFilter::new()), "tick");
        assert_eq!(filtered(TickFilter::default()), "tick");
    }

    #[test]
    #[allow(deprecated)]
    fn a_field_may_have_two_places() {
        let event = Twice { key: "k".into(), number: 1, old: "o".into() };
        assert_eq!(subject(&event), "twice.k.1.k.1.o");
        assert_eq!(filtered(TwiceFilter::new().key("k").number(1)), "twice.k.1.k.1.*");
        assert_eq!(filtered(TwiceFilter::new().old("o")), "twice.*.*.*.*.o");
    }
}

mod event_names {
    use super::generated::event_names::golden::names::v1 as pb;
    use super::*;

    #[test]
    fn messages_take_no_name_away() {
        assert_eq!(filtered(pb::EchoEventFilter2::new().text("x")), "echo.x");
        assert_eq!(filtered(pb::EchoFilterFilter::new().text("x")), "filter.x");
        assert_eq!(subject(&pb::EchoFilter { text: "x".into() }), "filter.x");
        assert_eq!(pb::EchoEventFilter { text: "x".into() }.text, "x");
    }

    #[test]
    fn keywords_are_names() {
        let event = pb::Self_ {
            r#type: "a".into(),
            self_: "b".into(),
            new: "c".into(),
            clone: "d".into(),
            default: true,
            into: 1,
            from: pb::Type::Self_.into(),
            inner: Some(pb::self_::Inner { r#type: "e".into(), self_: "f".into() }),
            inner_type: "g".into(),
        };
        assert_eq!(subject(&event), "self.a.b.c.d.true.1.self.e.g.f");
        assert_eq!(event.id(), Some("a"));
        let filter = pb::SelfFilter::new().r#type("a").self_("b").new_("c").clone_("d").default_(true).into_(1);
        let filter = filter.from_(pb::Type::Self_).inner_type("e").inner_type2("g").inner_self("f");
        assert_eq!(filtered(filter.clone()), subject(&event));
        assert_eq!(filtered(pb::SelfFilter::new().from_(pb::Type::Other)), "self.*.*.*.*.*.*.other.*.*.*");
    }

    #[test]
    fn getters_of_a_message_are_not_its_events() {
        let event = pb::Event { id: Some("i".into()), subject: Some("s".into()), fields: Some(pb::Type::Other.into()) };
        assert_eq!(event.subject(), "s");
        assert_eq!(subject(&event), "event.i.s.other");
        assert_eq!(Event::id(&event), Some("i"));
        assert_eq!(Event::id(&pb::Event::default()), None);
        assert_eq!(pb::Event::default().id(), "");
    }

    #[test]
    fn streams_and_consumers_have_names_of_their_own() {
        let streams = [&pb::stream_spec::A_B, &pb::stream_spec::A_B2, &pb::stream_spec::_7DAYS];
        assert_eq!(streams.map(|stream| stream.name.as_ref()), ["a-b", "a_b", "7days"]);
        let consumers =
            [&pb::consumer_spec::WORKER, &pb::consumer_spec::_7DAYS_WORKER, &pb::consumer_spec::_7DAYS_WORKER2];
        let names = consumers.map(|consumer| (consumer.stream.as_ref(), consumer.name.as_ref()));
        assert_eq!(names, [("a-b", "worker"), ("7days", "worker"), ("7days", "Worker")]);
        assert_eq!(pb::specs().consumers.len(), 3);
    }
}

mod streams_and_consumers {
    use std::time::{Duration, SystemTime};

    use subwire::__codegen::{Deliver, Discard, ReplayPolicy, Republish, Retention, Storage};

    use super::generated::streams_and_consumers::golden::jobs::v1 as jobs;
    use super::generated::streams_and_consumers::golden::squad::v1 as squad;
    use super::*;

    #[test]
    fn a_stream_is_data() {
        let republish = Republish {
            source: "agent.message.*.*".into(),
            destination: "copy.{{wildcard(1)}}.{{wildcard(2)}}".into(),
            headers_only: true,
        };
        let expected = StreamSpec {
            description: "What agents tell one another.".into(),
            replicas: 3,
            max_messages: Some(1_000_000),
            max_messages_per_subject: Some(1_000),
            max_bytes: Some(10_000_000_000),
            max_age: Some(Duration::from_secs(604_800)),
            max_message_bytes: Some(1_048_576),
            duplicate_window: Some(Duration::from_secs(120)),
            allow_direct: true,
            allow_message_ttl: true,
            allow_atomic_publish: true,
            republish: Some(republish),
            ..StreamSpec::new("agent-messages", ["agent.message.*.*", "agent.status.>"])
        };
        assert_eq!(squad::stream::AGENT_MESSAGES, expected);
    }

    #[test]
    fn what_a_stream_is_not_told_has_its_default() {
        let republish = Republish { source: ">".into(), destination: "copies.>".into(), headers_only: false };
        let expected = StreamSpec {
            description: "This comment is the description.".into(),
            retention: Retention::Interest,
            storage: Storage::Memory,
            discard: Discard::New,
            max_age: Some(Duration::from_millis(1_500)),
            duplicate_window: Some(Duration::from_nanos(100_000_001)),
            republish: Some(republish),
            ..StreamSpec::new("scratch", ["scratch.>"])
        };
        assert_eq!(squad::stream::SCRATCH, expected);
        let expected = StreamSpec { retention: Retention::WorkQueue, ..StreamSpec::new("WORK", ["work.*.*"]) };
        assert_eq!(jobs::stream::WORK, expected);
    }

    #[test]
    fn a_consumer_is_data() {
        let expected = ConsumerSpec {
            description: "Does the work.".into(),
            filters: vec!["agent.message.*.task_done".into(), "agent.status.*.*".into()].into(),
            ack_wait: Duration::from_micros(1_500),
            max_deliver: Some(3),
            backoff: vec![Duration::from_secs(1), Duration::new(5, 1)].into(),
            max_ack_pending: 64,
            replay: ReplayPolicy::Original,
            ..ConsumerSpec::new("agent-messages", "agent-processor")
        };
        assert_eq!(squad::consumer::AGENT_PROCESSOR, expected);
        assert_eq!(jobs::consumer::AUDIT, ConsumerSpec::new("agent-messages", "audit"));
    }

    #[test]
    fn a_consumer_begins_where_it_is_told_to() {
        use squad::consumer;
        let since = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5);
        let seen = [
            &consumer::AGENT_PROCESSOR,
            &consumer::LAST,
            &consumer::LAST_PER_SUBJECT,
            &consumer::NEW,
            &consumer::LATER,
            &*consumer::SINCE,
        ];
        let expected = [
            Deliver::All,
            Deliver::Last,
            Deliver::LastPerSubject,
            Deliver::New,
            Deliver::FromSequence(7),
            Deliver::FromTime(since),
        ];
        assert_eq!(seen.map(|consumer| consumer.deliver), expected);
        let waits = [Duration::from_secs(1), Duration::new(5, 1)];
        assert_eq!(consumer::SINCE.backoff.as_ref(), waits, "a time and waits at once");
    }

    #[test]
    fn specs_are_all_of_a_package() {
        let Specs { streams, consumers } = squad::specs();
        assert_eq!(streams, [squad::stream::AGENT_MESSAGES.clone(), squad::stream::SCRATCH.clone()]);
        assert_eq!(consumers.len(), 6);
        assert_eq!(consumers[5], *squad::consumer::SINCE);
        let names: Vec<_> = jobs::specs().consumers.into_iter().map(|consumer| consumer.name).collect();
        assert_eq!(names, ["urgent", "rest", "audit"]);
    }

    #[test]
    fn an_event_may_be_stored_by_another_packages_stream() {
        let event = jobs::Begun { kind: squad::Kind::One.into() };
        assert_eq!(subject(&event), "agent.status.one.begun");
        assert_eq!(filtered(jobs::BegunFilter::new().kind(squad::Kind::One)), "agent.status.one.begun");
        assert_eq!(info::<jobs::Begun>().stream, Some(squad::stream::AGENT_MESSAGES.name.as_ref()));
    }
}
