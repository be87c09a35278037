//! Reads options through reflection: the typed descriptors drop the custom ones.

use std::time::Duration;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage, ServiceDescriptor};
use prost_types::method_options::IdempotencyLevel;

/// Numbers of our extensions in `subwire/v1/options.proto`.
pub(crate) const SERVICE_EXTENSION: i32 = 50500;
pub(crate) const METHOD_EXTENSION: i32 = 50501;

/// Longest timeout of a method: what a server grants at most.
const MAX_TIMEOUT: Duration = Duration::from_secs(60 * 60);

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
    let custom = extension(service.parent_pool(), &service.options(), "subwire.v1.service");
    let text = |name| string(custom.as_ref()?, name);
    ServiceOptions {
        deprecated: plain.is_some_and(|options| options.deprecated()),
        version: text("version"),
        description: text("description"),
        subject: text("subject"),
    }
}

pub(crate) fn method(method: &MethodDescriptor) -> MethodOptions {
    let plain = method.method_descriptor_proto().options.as_ref();
    let custom = extension(method.parent_pool(), &method.options(), "subwire.v1.method");
    MethodOptions {
        deprecated: plain.is_some_and(|options| options.deprecated()),
        idempotency: plain.map_or(IdempotencyLevel::IdempotencyUnknown, |options| options.idempotency_level()),
        timeout: match custom.and_then(|custom| duration(&custom, "timeout")) {
            None => Ok(None),
            Some((seconds, nanos)) => timeout(seconds, nanos).map(Some),
        },
    }
}

fn timeout(seconds: i64, nanos: i32) -> Result<Duration, String> {
    let parts = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
    let timeout =
        parts.filter(|(_, nanos)| *nanos < 1_000_000_000).map(|(seconds, nanos)| Duration::new(seconds, nanos));
    match timeout {
        Some(timeout) if timeout > MAX_TIMEOUT => Err(format!(
            "a timeout of {seconds} s is over one hour; write `timeout: {{ seconds: {} }}` or less",
            MAX_TIMEOUT.as_secs(),
        )),
        Some(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => Err("a timeout is more than nothing; write `timeout: { seconds: 5 }`, or no timeout".into()),
    }
}

/// The value of one of our extensions, when the file sets it and the pool knows it as a message.
fn extension(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(name)?;
    if extension.containing_message() != options.descriptor() || !options.has_extension(&extension) {
        return None;
    }
    options.get_extension(&extension).as_message().cloned()
}

fn string(message: &DynamicMessage, name: &str) -> Option<String> {
    let value = message.get_field_by_name(name)?;
    let text = value.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn duration(message: &DynamicMessage, name: &str) -> Option<(i64, i32)> {
    if !message.has_field_by_name(name) {
        return None;
    }
    let value = message.get_field_by_name(name)?;
    let duration = value.as_message()?;
    let seconds = duration.get_field_by_name("seconds")?.as_i64()?;
    let nanos = duration.get_field_by_name("nanos")?.as_i32()?;
    Some((seconds, nanos))
}
