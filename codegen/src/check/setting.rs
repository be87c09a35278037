//! Reads what is the same for streams and consumers: names, numbers, durations.

use std::time::Duration;

use crate::docs;
use crate::options::{self, Unfit, Values};
use crate::place::{Placed, Report};

/// Longest name and description, in bytes: the server's limits.
const MAX_NAME_BYTES: usize = 255;
const MAX_DESCRIPTION_BYTES: usize = 4096;

/// Longest duration: a server counts nanoseconds in an `i64`.
const MAX_DURATION: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());

/// The settings of one stream or consumer, reported where no server takes them.
pub(super) struct Settings<'a, 'r> {
    values: &'a Values,
    at: &'a Placed<()>,
    /// The rule of numbers and durations.
    range: &'static str,
    report: &'a mut Report<'r>,
}

impl<'a, 'r> Settings<'a, 'r> {
    pub(super) fn new(values: &'a Values, at: &'a Placed<()>, range: &'static str, report: &'a mut Report<'r>) -> Self {
        Self { values, at, range, report }
    }

    pub(super) fn refuse(&mut self, rule: &'static str, message: impl Into<String>) {
        self.at.refuse(rule, message, self.report);
    }

    /// The field `name`: letters, digits, `_` and `-`, so that it is a token and a file name.
    pub(super) fn name(&mut self, rule: &'static str, example: &str) -> String {
        let name = self.values.text("name").unwrap_or_default();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() {
            self.refuse(rule, format!("it has no name; write `name: \"{example}\"`"));
        } else if name.len() > MAX_NAME_BYTES {
            let length = name.len();
            self.refuse(rule, format!("a name of {length} bytes, and {MAX_NAME_BYTES} are allowed; write a short one"));
        } else if !name.chars().all(legal) || !name.contains(|c: char| c.is_ascii_alphanumeric()) {
            let instead = name.replace(|c| !legal(c), "-");
            let instead = if instead.contains(|c: char| c.is_ascii_alphanumeric()) { &instead } else { example };
            let name = name.escape_debug();
            self.refuse(rule, format!("`{name}` is not a name of letters, digits, `_` and `-`; write `{instead}`"));
        }
        name
    }

    /// The field `description`, else the first paragraph of the option's comment.
    pub(super) fn description(&mut self) -> String {
        let comment = docs::first_paragraph(self.report.places.comment(self.at.file.name(), &self.at.path));
        let description = self.values.text("description").unwrap_or(comment);
        let length = description.len();
        if length > MAX_DESCRIPTION_BYTES {
            let problem = format!(
                "a description of {length} bytes, and {MAX_DESCRIPTION_BYTES} are allowed; write `description: \"..\"`",
            );
            self.refuse(self.range, problem);
        }
        description
    }

    /// A number above nothing; none when it is not set.
    pub(super) fn limit<T: TryFrom<i64>>(&mut self, field: &str) -> Option<T> {
        let number = self.values.number(field);
        let limit = T::try_from(number).ok().filter(|_| number > 0);
        if limit.is_none() && number != 0 {
            let problem = format!("`{field}` is {number}; write a number above 0, or leave it out");
            self.refuse(self.range, problem);
        }
        limit
    }

    /// A duration of at least `least`; none when it is not set.
    pub(super) fn duration(&mut self, field: &str, least: Duration) -> Option<Duration> {
        let parts = self.values.seconds_and_nanos(field)?;
        self.checked(field, parts, least)
    }

    /// A list of durations of more than nothing.
    pub(super) fn durations(&mut self, field: &str) -> Vec<Duration> {
        let all = self.values.all_seconds_and_nanos(field);
        all.into_iter().filter_map(|parts| self.checked(field, parts, Duration::ZERO)).collect()
    }

    fn checked(&mut self, field: &str, (seconds, nanos): (i64, i32), least: Duration) -> Option<Duration> {
        let problem = match options::positive(seconds, nanos) {
            Err(Unfit::Nothing) => {
                format!("`{field}` is not more than nothing; write `{field}: {{ seconds: 60 }}`, or leave it out")
            }
            Err(Unfit::Nanos(why)) => format!("`{field}` {why}"),
            Ok(duration) if duration < least => {
                let least = least.as_millis();
                format!("`{field}` is less than the {least} ms that a server takes; write `{field}: {{ seconds: 60 }}`")
            }
            Ok(duration) if duration > MAX_DURATION => {
                format!("`{field}` is over 292 years, which no server can count; leave it out")
            }
            Ok(duration) => return Some(duration),
        };
        self.refuse(self.range, problem);
        None
    }

    /// The meaning of an enum's number; the first is that of an unset field.
    pub(super) fn choice<T: Copy>(&mut self, field: &str, default: T, meanings: &[T]) -> T {
        let number = self.values.choice(field);
        let meaning = usize::try_from(number).ok().and_then(|number| match number {
            0 => Some(default),
            number => meanings.get(number - 1).copied(),
        });
        meaning.unwrap_or_else(|| {
            let problem = format!("`{field}` is {number}, which has no meaning; write one of its names");
            self.refuse(self.range, problem);
            default
        })
    }

    pub(super) fn values(&self) -> &'a Values {
        self.values
    }
}
