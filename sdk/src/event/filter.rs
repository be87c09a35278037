//! [`Filter`]: which events of a kind.

use std::{fmt, fmt::Display, marker::PhantomData};

use super::{Event, Piece, fields::illegal};
use crate::{Result, bus::Subject, wire::token};

/// Which events of a kind: a field that is not given may have any value.
///
/// Generated code wraps it in a type with a method for each field.
pub struct Filter<E> {
    /// For each field in the subject.
    values: Vec<Option<String>>,
    event: PhantomData<fn() -> E>,
}

impl<E: Event> Filter<E> {
    /// All of them.
    pub const fn new() -> Self {
        Self { values: Vec::new(), event: PhantomData }
    }

    /// Only those whose `field`th field in the subject has this text.
    #[must_use]
    pub fn text(mut self, field: usize, value: impl Into<String>) -> Self {
        if self.values.len() <= field {
            self.values.resize(field + 1, None);
        }
        if let Some(slot) = self.values.get_mut(field) {
            *slot = Some(value.into());
        }
        self
    }

    /// Only those whose `field`th field in the subject is the value of this name.
    #[must_use]
    pub fn enumeration(self, field: usize, name: &'static str, prefix: &str) -> Self {
        self.text(field, token::of_enum(name, prefix))
    }

    /// Only those whose `field`th field in the subject is this number.
    #[must_use]
    pub fn number(self, field: usize, value: impl Display) -> Self {
        self.text(field, value.to_string())
    }

    /// Only those whose `field`th field in the subject is true, or false.
    #[must_use]
    pub fn flag(self, field: usize, value: bool) -> Self {
        self.text(field, if value { "true" } else { "false" })
    }

    /// What to subscribe to.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the field whose value is not one token of a subject.
    pub fn subject(&self) -> Result<Subject> {
        let mut subject = String::with_capacity(E::INFO.subject.len());
        let mut values = self.values.iter();
        for piece in E::INFO.pieces {
            match piece {
                Piece::Text(text) => subject.push_str(text),
                Piece::Field(field) => match values.next().and_then(Option::as_deref) {
                    None => subject.push('*'),
                    Some(value) if E::INFO.escape => token::escape(value, &mut subject),
                    Some(value) => match token::check(value) {
                        Ok(()) => subject.push_str(value),
                        Err(why) => return Err(illegal(E::INFO, field, value, why)),
                    },
                },
            }
        }
        Subject::checked_length(&subject)
    }
}

impl<E: Event> Default for Filter<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Clone for Filter<E> {
    fn clone(&self) -> Self {
        Self { values: self.values.clone(), event: PhantomData }
    }
}

impl<E: Event> fmt::Debug for Filter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("event", &E::INFO.name).field("values", &self.values).finish()
    }
}
