//! [`Settings`]: what the environment may say of the stream and its consumer.

use std::{env, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use anyhow::{Result, bail};
use schemas::agents::squad::v1::{consumer, specs, stream};
use subwire::Specs;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest name that JetStream takes, in bytes.
const NAME_BYTES: usize = 255;

/// What the environment may say of the stream and its consumer. Unset, or empty: what the schema says.
///
/// Which bus it is, `MESSAGE_BUS` and `NATS_URL`, is for [`Bus::from_env`](subwire::Bus::from_env).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `NATS_STREAM_NAME`
    stream: Option<String>,
    /// `NATS_MAX_MSGS`
    max_messages: Option<u64>,
    /// `NATS_MAX_AGE_DAYS`
    max_age: Option<Duration>,
    /// `NATS_CONSUMER_NAME`
    consumer: Option<String>,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// For a value that cannot be, naming the variable.
    pub(crate) fn from_env() -> Result<Self> {
        Self::from_lookup(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let value = |name| lookup(name).filter(|value| !value.is_empty()).map(|value| Value { name, value });
        Ok(Self {
            stream: value("NATS_STREAM_NAME").map(Value::name).transpose()?,
            max_messages: value("NATS_MAX_MSGS").map(|value| value.number(1..=i64::MAX.unsigned_abs())).transpose()?,
            // The stream knows ids for two minutes: a day is the least that makes sense.
            max_age: value("NATS_MAX_AGE_DAYS")
                .map(|value| value.number::<u32>(1..=36_500))
                .transpose()?
                .map(|days| DAY * days),
            consumer: value("NATS_CONSUMER_NAME").map(Value::other_name).transpose()?,
        })
    }

    /// What the schema says, with these settings in it.
    pub(crate) fn specs(&self) -> Specs {
        let mut specs = specs();
        if let Some(spec) = specs.stream_mut(&stream::AGENT_MESSAGES.name) {
            spec.max_messages = self.max_messages.or(spec.max_messages);
            spec.max_age = self.max_age.or(spec.max_age);
        }
        if let (Some(spec), Some(name)) = (specs.consumer_mut(&consumer::AGENT_PROCESSOR.name), &self.consumer) {
            spec.name = name.clone().into();
        }
        if let Some(name) = &self.stream {
            specs.rename_stream(&stream::AGENT_MESSAGES.name, name);
        }
        specs
    }
}

/// What a variable says.
struct Value {
    name: &'static str,
    value: String,
}

impl Value {
    fn name(self) -> Result<String> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if self.value.len() > NAME_BYTES || !self.value.bytes().all(legal) {
            return self.wrong("letters, digits, `-` and `_`");
        }
        Ok(self.value)
    }

    /// The same, but not that of the archive, which reads the stream for itself.
    fn other_name(self) -> Result<String> {
        if self.value == consumer::AGENT_ARCHIVE.name {
            return self.wrong("another name, as this is the archive's");
        }
        self.name()
    }

    fn number<T: FromStr + PartialOrd + Display>(self, range: RangeInclusive<T>) -> Result<T> {
        match self.value.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => self.wrong(&format!("a whole number from {} to {}", range.start(), range.end())),
        }
    }

    fn wrong<T>(&self, instead: &str) -> Result<T> {
        bail!("{}={}: write {instead}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings> {
        Settings::from_lookup(|name| {
            let settings = text.split_whitespace().filter_map(|setting| setting.split_once('='));
            settings.filter(|(known, _)| *known == name).map(|(_, value)| value.to_owned()).next()
        })
    }

    #[test]
    fn what_is_unset_is_as_the_schema_says() {
        for text in ["", "NATS_STREAM_NAME= NATS_MAX_MSGS= NATS_MAX_AGE_DAYS= NATS_CONSUMER_NAME="] {
            assert_eq!(settings(text).expect(text).specs(), specs());
        }
    }

    #[test]
    fn what_is_set_replaces_what_the_schema_says() {
        let text = "NATS_STREAM_NAME=ours NATS_MAX_MSGS=50000 NATS_MAX_AGE_DAYS=30 NATS_CONSUMER_NAME=counter_2";
        let mut specs = settings(text).expect(text).specs();
        let stream = specs.stream_mut("ours").expect("renamed");
        assert_eq!((stream.max_messages, stream.max_age), (Some(50_000), Some(DAY * 30)));
        assert_eq!(specs.consumer_mut("counter_2").expect("renamed").stream, "ours");
        assert!(specs.consumers.iter().all(|consumer| consumer.stream == "ours"));
    }

    #[test]
    fn a_wrong_value_is_an_error_that_names_the_variable() {
        for text in [
            "NATS_STREAM_NAME=agent.messages",
            "NATS_CONSUMER_NAME=*",
            "NATS_CONSUMER_NAME=agent-archive",
            "NATS_MAX_MSGS=many",
            "NATS_MAX_MSGS=0",
            "NATS_MAX_MSGS=-1",
            "NATS_MAX_MSGS=9223372036854775808",
            "NATS_MAX_AGE_DAYS=0",
            "NATS_MAX_AGE_DAYS=1.5",
            "NATS_MAX_AGE_DAYS=36501",
        ] {
            let error = settings(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("{text}: write ")), "{error}");
        }
    }
}
