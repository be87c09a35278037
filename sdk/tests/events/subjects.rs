//! From an event to its subject and back to nothing else.

use subwire::{Code, Event};

use crate::*;

fn of(room: &str, kind: ReadingKind) -> Reading {
    Reading { place: Some(Place { room: room.to_owned() }), kind: kind.into(), ..Reading::default() }
}

#[test]
fn a_subject_holds_the_values_of_the_fields() {
    let subject = |event: Reading| event.subject().expect("legal").as_str().to_owned();
    assert_eq!(subject(of("kitchen", ReadingKind::Temperature)), "testing.reading.kitchen.temperature");
    assert_eq!(subject(of("r-2_b", ReadingKind::AirHumidity)), "testing.reading.r-2_b.air_humidity");
    let ping = Ping { number: -3, urgent: true };
    assert_eq!(ping.subject().expect("legal").as_str(), "testing.ping.-3.true");
}

#[test]
fn a_value_that_would_mean_more_is_refused_and_its_field_named() {
    for room in ["", "a.b", "*", ">", "a b", "a\r\nPUB evil 0\r\n\r\n", "k\u{fc}che", &"x".repeat(5_000)] {
        let status = of(room, ReadingKind::Temperature).subject().expect_err(room);
        assert_eq!(status.code(), Code::InvalidArgument, "{room:?}");
    }
    let field = |event: Reading| {
        let violations = event.subject().expect_err("refused").field_violations();
        violations.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
    };
    assert_eq!(field(of("a.b", ReadingKind::Temperature)), ["place.room"]);
    assert_eq!(field(Reading { place: None, ..of("a", ReadingKind::Temperature) }), ["place.room"]);
    assert_eq!(field(of("a", ReadingKind::Unspecified)), ["kind"]);
    assert_eq!(field(Reading { kind: 77, ..of("a", ReadingKind::Temperature) }), ["kind"]);
}

#[test]
fn an_event_that_says_so_escapes_what_is_not_legal() {
    let subject = |author: &str| {
        let note = Note { author: author.to_owned(), text: String::new() };
        note.subject().expect("legal").as_str().to_owned()
    };
    assert_eq!(subject("ann"), "testing.note.ann");
    assert_eq!(subject("ann.b > 50%"), "testing.note.ann%2Eb%20%3E%2050%25");
    assert_eq!(subject(""), "testing.note.%");
}

#[test]
fn a_filter_leaves_open_what_is_not_given() {
    let subject = |filter: ReadingFilter| subwire::Filter::from(filter).subject().map(|subject| subject.to_string());
    assert_eq!(subject(ReadingFilter::new()).expect("legal"), "testing.reading.*.*");
    assert_eq!(subject(ReadingFilter::new().place_room("hall")).expect("legal"), "testing.reading.hall.*");
    let humidity = ReadingFilter::new().kind(ReadingKind::AirHumidity);
    assert_eq!(subject(humidity).expect("legal"), "testing.reading.*.air_humidity");
    let status = subject(ReadingFilter::new().place_room("hall.>")).expect_err("refused");
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[test]
fn the_schema_can_be_read_at_run_time() {
    let info = Reading::INFO;
    assert_eq!(info.name, "testing.event.v1.Reading");
    assert_eq!(
        (info.subject, info.stream, info.id),
        ("testing.reading.{place.room}.{kind}", Some("TESTING"), Some("id"))
    );
    assert_eq!(info.description, "A sensor has read something.");
    assert_eq!(info.pattern().as_str(), "testing.reading.*.*");
    assert!(info.matches("testing.reading.a.b"));
    assert!(
        !info.matches("testing.reading.a")
            && !info.matches("testing.reading.a.b.c")
            && !info.matches("other.reading.a.b")
    );
    let values = |info: &subwire::EventInfo, subject: &str| {
        info.values(subject).map(|values| values.into_iter().map(|(field, value)| format!("{field}={value}")).collect())
    };
    assert_eq!(values(info, "testing.reading.a.b"), Some(vec!["place.room=a".to_owned(), "kind=b".to_owned()]));
    assert_eq!(values(Note::INFO, "testing.note.ann%2Eb"), Some(vec!["author=ann.b".to_owned()]));
    assert_eq!(values(Note::INFO, "testing.note.%61"), None::<Vec<String>>);
    assert_eq!(Ping::INFO.stream, None);
    let specs = specs();
    assert_eq!(specs.streams.len(), 1);
    assert_eq!(specs.consumers[0].stream, specs.streams[0].name);
}
