//! Reads options through reflection: the typed descriptors drop the custom ones.

use std::time::Duration;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FileDescriptor, MessageDescriptor, MethodDescriptor, ReflectMessage,
    ServiceDescriptor, Value,
};
use prost_types::method_options::IdempotencyLevel;

/// Numbers of our extensions in `subwire/v1/options.proto`.
pub(crate) const SERVICE_EXTENSION: i32 = 50500;
pub(crate) const METHOD_EXTENSION: i32 = 50501;
pub(crate) const EVENT_EXTENSION: i32 = 50502;
pub(crate) const STREAM_EXTENSION: i32 = 50503;
pub(crate) const CONSUMER_EXTENSION: i32 = 50504;

/// Longest timeout of a method: what a server grants at most.
const MAX_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// In nanoseconds.
const SECOND: i128 = 1_000_000_000;

#[derive(Default)]
pub(crate) struct ServiceOptions {
    pub(crate) deprecated: bool,
    pub(crate) version: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) subject: Option<String>,
}

pub(crate) struct MethodOptions {
    pub(crate) deprecated: bool,
    pub(crate) idempotency: IdempotencyLevel,
    /// An error says why the timeout is out of range.
    pub(crate) timeout: Result<Option<Duration>, String>,
}

pub(crate) fn service(service: &ServiceDescriptor) -> ServiceOptions {
    let plain = service.service_descriptor_proto().options.as_ref();
    let custom = Values::one(extension(service.parent_pool(), &service.options(), "subwire.v1.service"));
    let text = |name| custom.as_ref()?.text(name);
    ServiceOptions {
        deprecated: plain.is_some_and(|options| options.deprecated()),
        version: text("version"),
        description: text("description"),
        subject: text("subject"),
    }
}

pub(crate) fn method(method: &MethodDescriptor) -> MethodOptions {
    let plain = method.method_descriptor_proto().options.as_ref();
    let custom = Values::one(extension(method.parent_pool(), &method.options(), "subwire.v1.method"));
    MethodOptions {
        deprecated: plain.is_some_and(|options| options.deprecated()),
        idempotency: plain.map_or(IdempotencyLevel::IdempotencyUnknown, |options| options.idempotency_level()),
        timeout: match custom.and_then(|custom| custom.seconds_and_nanos("timeout")) {
            None => Ok(None),
            Some((seconds, nanos)) => timeout(seconds, nanos).map(Some),
        },
    }
}

/// What makes a message an event, if it is one.
pub(crate) fn event(message: &MessageDescriptor) -> Option<Values> {
    Values::one(extension(message.parent_pool(), &message.options(), "subwire.v1.event"))
}

/// The streams that a file declares.
pub(crate) fn streams(file: &FileDescriptor) -> Vec<Values> {
    Values::all(extension(file.parent_pool(), &file.options(), "subwire.v1.stream"))
}

/// The consumers that a file declares.
pub(crate) fn consumers(file: &FileDescriptor) -> Vec<Values> {
    Values::all(extension(file.parent_pool(), &file.options(), "subwire.v1.consumer"))
}

fn timeout(seconds: i64, nanos: i32) -> Result<Duration, String> {
    match positive(seconds, nanos) {
        Ok(timeout) if timeout > MAX_TIMEOUT => Err(format!(
            "a timeout of {timeout:?} is over one hour; write `timeout: {{ seconds: {} }}` or less",
            MAX_TIMEOUT.as_secs(),
        )),
        Ok(timeout) => Ok(timeout),
        Err(Unfit::Nothing) => {
            Err("a timeout is more than nothing; write `timeout: { seconds: 5 }`, or no timeout".into())
        }
        Err(Unfit::Nanos(why)) => Err(format!("a timeout {why}")),
    }
}

/// Why a `google.protobuf.Duration` is none that could be set.
pub(crate) enum Unfit {
    /// It is nothing or less.
    Nothing,
    /// It is not in its normal form, and how that is written.
    Nanos(String),
}

/// A `google.protobuf.Duration` of more than nothing, and in its normal form.
pub(crate) fn positive(seconds: i64, nanos: i32) -> Result<Duration, Unfit> {
    let all = i128::from(seconds) * SECOND + i128::from(nanos);
    let whole = u64::try_from(all / SECOND).ok().zip(u32::try_from(all % SECOND).ok());
    let (whole, rest) = whole.filter(|_| all > 0).ok_or(Unfit::Nothing)?;
    if (0..SECOND).contains(&nanos.into()) {
        return Ok(Duration::new(whole, rest));
    }
    let most = SECOND - 1;
    Err(Unfit::Nanos(format!("has {nanos} nanos, and 0 to {most} are allowed; write `seconds: {whole} nanos: {rest}`")))
}

/// The value of one of our extensions, when the descriptor sets it.
fn extension(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<Value> {
    let extension = pool.get_extension_by_name(name)?;
    if extension.containing_message() != options.descriptor() || !options.has_extension(&extension) {
        return None;
    }
    Some(options.get_extension(&extension).into_owned())
}

/// One of our options, read by the names of its fields.
///
/// A field has its default when it is not set, and also when somebody else's `options.proto` gives
/// it another type: what a foreign compiler made is not ours to trust.
pub(crate) struct Values(DynamicMessage);

impl Values {
    fn one(value: Option<Value>) -> Option<Self> {
        match value? {
            Value::Message(message) => Some(Self(message)),
            _ => None,
        }
    }

    fn all(value: Option<Value>) -> Vec<Self> {
        match value {
            Some(Value::List(values)) => values.into_iter().filter_map(|value| Self::one(Some(value))).collect(),
            value => Self::one(value).into_iter().collect(),
        }
    }

    fn get(&self, name: &str) -> Option<Value> {
        let set = self.0.has_field_by_name(name);
        self.0.get_field_by_name(name).filter(|_| set).map(|value| value.into_owned())
    }

    /// A string that is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let value = self.get(name);
        let values = value.as_ref().and_then(Value::as_list).unwrap_or_default();
        values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(|value| value.as_bool()).unwrap_or_default()
    }

    /// An `int32` or `int64`.
    pub(crate) fn number(&self, name: &str) -> i64 {
        let value = self.get(name);
        let number = value.as_ref().and_then(|value| value.as_i64().or_else(|| value.as_i32().map(i64::from)));
        number.unwrap_or_default()
    }

    /// A `uint64`.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.get(name).and_then(|value| value.as_u64()).unwrap_or_default()
    }

    /// The number of an enum's value.
    pub(crate) fn choice(&self, name: &str) -> i32 {
        self.get(name).and_then(|value| value.as_enum_number()).unwrap_or_default()
    }

    pub(crate) fn message(&self, name: &str) -> Option<Self> {
        Self::one(self.get(name))
    }

    /// The parts of a `google.protobuf.Duration` or `Timestamp`, when it is set.
    pub(crate) fn seconds_and_nanos(&self, name: &str) -> Option<(i64, i32)> {
        self.message(name)?.parts()
    }

    /// The parts of each `google.protobuf.Duration` in a repeated field.
    pub(crate) fn all_seconds_and_nanos(&self, name: &str) -> Vec<(i64, i32)> {
        Self::all(self.get(name)).iter().filter_map(Self::parts).collect()
    }

    fn parts(&self) -> Option<(i64, i32)> {
        let seconds = self.0.get_field_by_name("seconds")?.as_i64()?;
        let nanos = self.0.get_field_by_name("nanos")?.as_i32()?;
        Some((seconds, nanos))
    }
}
