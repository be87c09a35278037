//! [`Wants`]: which subjects of a stream a consumer reads.

use std::borrow::Cow;

use super::subjects::Subjects;
use crate::wire::pattern;

/// Which subjects of a stream a consumer reads, by their numbers.
#[derive(Debug)]
pub(super) enum Wants {
    All,
    Some { filters: Box<[Cow<'static, str>]>, by_number: Vec<bool> },
}

impl Wants {
    pub(super) fn new(filters: &[Cow<'static, str>], subjects: &Subjects) -> Self {
        if filters.is_empty() || filters.iter().any(|filter| filter == ">") {
            return Self::All;
        }
        let mut wants = Self::Some { filters: filters.into(), by_number: Vec::new() };
        for (subject, number) in subjects.iter() {
            wants.learn(number, subject.as_str());
        }
        wants
    }

    /// A subject has this number from now on.
    pub(super) fn learn(&mut self, number: u32, subject: &str) {
        let Self::Some { filters, by_number } = self else { return };
        let number = number as usize;
        if by_number.len() <= number {
            by_number.resize(number + 1, false);
        }
        if let Some(wanted) = by_number.get_mut(number) {
            *wanted = filters.iter().any(|filter| pattern::matches(filter, subject));
        }
    }

    /// Whether it reads the subject of this number.
    pub(super) fn has(&self, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some { by_number, .. } => by_number.get(number as usize).copied().unwrap_or_default(),
        }
    }

    /// Whether it reads this subject, which may have no number yet.
    pub(super) fn has_subject(&self, subject: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some { filters, .. } => filters.iter().any(|filter| pattern::matches(filter, subject)),
        }
    }
}
