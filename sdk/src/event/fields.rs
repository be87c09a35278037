//! [`EventFields`]: from the fields of an event to its subject.

use std::{cell::Cell, fmt::Display};

use super::{EventInfo, Piece};
use crate::{Code, Result, Status, bus::Subject, limits, status::reason, wire::token};

thread_local! {
    /// Where subjects are put together: a thread makes one at a time.
    static ROOM: Cell<String> = const { Cell::new(String::new()) };
}

/// Takes the values of the fields in an event's subject, in their order there.
///
/// For generated code. The first value that is no token is the error; the rest is not looked at.
#[derive(Debug)]
pub struct EventFields<'a> {
    info: &'a EventInfo,
    /// What of the subject is not written yet.
    rest: &'a [Piece],
    subject: String,
    failure: Option<Status>,
}

impl<'a> EventFields<'a> {
    /// The subject that `fill` describes.
    pub(super) fn subject(info: &'a EventInfo, fill: impl FnOnce(&mut Self)) -> Result<Subject> {
        let mut fields = Self { info, rest: info.pieces, subject: ROOM.take(), failure: None };
        fields.subject.clear();
        fields.literal();
        fill(&mut fields);
        let subject = match fields.failure {
            Some(status) => Err(status),
            // Copied: a string with room left would take a second allocation to be shared.
            None => Subject::checked_length(&fields.subject),
        };
        if fields.subject.capacity() <= limits::SUBJECT_BYTES {
            ROOM.set(fields.subject);
        }
        subject
    }

    /// A string field; `None` where it, or a message around it, is not set.
    pub fn text(&mut self, value: Option<&str>) {
        let Some(field) = self.field() else { return };
        let value = value.unwrap_or_default();
        let written = match self.info.escape {
            true => {
                token::escape(value, &mut self.subject);
                Ok(())
            }
            false => token::check(value).map(|()| self.subject.push_str(value)),
        };
        match written {
            Ok(()) => self.literal(),
            Err(why) => self.failure = Some(illegal(self.info, field, value, why)),
        }
    }

    /// An enum field, by the name of its value; `None` where the number has no name.
    ///
    /// The token is the name without the enum's prefix, in lower case.
    pub fn enumeration(&mut self, name: Option<&'static str>, prefix: &str) {
        let Some(name) = name else {
            let Some(field) = self.field() else { return };
            self.failure = Some(illegal(self.info, field, "", "it is not a value that the schema names"));
            return;
        };
        self.text(Some(&token::of_enum(name, prefix)));
    }

    /// A field of an integer type.
    pub fn number(&mut self, value: Option<impl Display>) {
        self.text(value.map(|value| value.to_string()).as_deref());
    }

    /// A field that is true or false.
    pub fn flag(&mut self, value: Option<bool>) {
        self.text(value.map(|value| if value { "true" } else { "false" }));
    }

    /// The name of the field that is due, unless one has failed already.
    fn field(&mut self) -> Option<&'a str> {
        if self.failure.is_some() {
            return None;
        }
        match self.rest.split_first() {
            Some((Piece::Field(field), rest)) => {
                self.rest = rest;
                Some(field)
            }
            _ => None,
        }
    }

    /// Writes what comes before the next field.
    fn literal(&mut self) {
        if let Some((Piece::Text(text), rest)) = self.rest.split_first() {
            self.subject.push_str(text);
            self.rest = rest;
        }
    }
}

pub(super) fn illegal(info: &EventInfo, field: &str, value: &str, why: &str) -> Status {
    let message =
        format!("{}.{field} is {value:?}, which cannot be part of the subject {}: {why}", info.name, info.subject);
    Status::made_here(Code::InvalidArgument, reason::INVALID_SUBJECT, message).with_field_violation(field, why)
}
