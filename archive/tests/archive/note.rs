//! [`Note`]: an event, written by hand as the generator would.

use subwire::{
    Event, EventFields, EventInfo, Piece,
    bus::{Message, Subject},
};

/// What somebody noted.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(string, tag = "1")]
    pub(crate) author: String,
    #[prost(string, tag = "2")]
    pub(crate) topic: String,
    #[prost(string, tag = "3")]
    pub(crate) text: String,
}

impl Note {
    pub(crate) fn new(author: &str, topic: &str, text: impl ToString) -> Self {
        Self { author: author.to_owned(), topic: topic.to_owned(), text: text.to_string() }
    }

    /// A message where a note should be.
    pub(crate) fn garbled() -> Message {
        Message::new(Subject::new("note.bad.bad").expect("a subject"), b"\xff\xff\xff".as_slice())
    }
}

impl Event for Note {
    const INFO: &'static EventInfo = &EventInfo {
        name: "testing.note.v1.Note",
        subject: "note.{author}.{topic}",
        pieces: &[Piece::Text("note."), Piece::Field("author"), Piece::Text("."), Piece::Field("topic")],
        stream: Some("notes"),
        id: None,
        escape: true,
        description: "What somebody noted",
    };

    fn fields(&self, fields: &mut EventFields<'_>) {
        fields.text(Some(&self.author));
        fields.text(Some(&self.topic));
    }

    fn id(&self) -> Option<&str> {
        None
    }
}
