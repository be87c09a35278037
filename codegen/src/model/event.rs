//! A message with a subject of its own.

/// A message with a subject of its own, by the option `(subwire.v1.event)`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// `agents.squad.v1.AgentMessage`
    pub name: String,
    /// `agent.message.{recipient_role}.{message_type}`
    pub subject: String,
    /// The same in pieces.
    pub tokens: Vec<Token>,
    /// The stream that stores it.
    pub stream: Option<String>,
    /// The field that makes it the same event when it is published twice.
    pub id: Option<FieldPath>,
    /// Whether values that are not legal in a subject are escaped, instead of being refused.
    pub escape: bool,
    /// One line.
    pub description: String,
    /// Its items in the generated code.
    pub rust: EventItems,
}

impl Event {
    /// The fields in the subject, in their order there; one may come twice.
    pub fn fields(&self) -> impl Iterator<Item = &SubjectField> {
        self.tokens.iter().filter_map(|token| match token {
            Token::Literal(_) => None,
            Token::Field(field) => Some(field),
        })
    }

    /// The subject in as few pieces as there can be: each field, and the text around it, dots included.
    pub fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        for (place, token) in self.tokens.iter().enumerate() {
            if place > 0 {
                text.push('.');
            }
            match token {
                Token::Literal(literal) => text.push_str(literal),
                Token::Field(field) => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Field(field));
                }
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        pieces
    }

    /// What to subscribe to for all events of this kind: a `*` for each field.
    pub fn pattern(&self) -> String {
        let tokens = self.tokens.iter().map(|token| match token {
            Token::Literal(text) => text,
            Token::Field(_) => "*",
        });
        tokens.collect::<Vec<_>>().join(".")
    }
}

/// A piece of an event's subject.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Piece<'a> {
    /// The same in every subject: tokens, and the dots between them and the fields.
    Text(String),
    /// The value of this field.
    Field(&'a SubjectField),
}

/// The names of what is generated for an event, and of the message it is generated for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventItems {
    /// `AgentMessage`
    pub message: String,
    /// `AgentMessageFilter`
    pub filter: String,
}

/// A piece of an event's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// The same in every subject.
    Literal(String),
    /// The value of a field.
    Field(SubjectField),
}

/// A field whose value is a token of the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubjectField {
    /// Where it is in the message.
    pub path: FieldPath,
    /// What its value is.
    pub kind: TokenKind,
    /// The method of the filter: `recipient_role`, `sender_role`.
    pub method: String,
}

/// What the value of a field in a subject is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKind {
    /// A string.
    Text,
    /// An enum.
    Enumeration {
        /// The path from the package's module: `MessageType`.
        rust: String,
        /// What the names of all values start with, `MESSAGE_TYPE_`; empty if they do not.
        prefix: String,
    },
    /// An integer of this Rust type.
    Number(&'static str),
    /// True or false.
    Flag,
}

/// A field of a message, or of a message inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldPath {
    /// `recipient_role`, `sender.role`.
    pub name: String,
    /// The messages around it, as Rust fields: `sender`.
    pub around: Vec<String>,
    /// The Rust field: `role`, `r#type`.
    pub field: String,
    /// Whether it is written with `optional`.
    pub optional: bool,
    /// Whether it, or a message around it, is deprecated.
    pub deprecated: bool,
}
