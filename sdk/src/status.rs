//! [`Status`]: the one error of a call.

mod code;
pub mod reason;

use std::{collections::BTreeMap, error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::{Message, Name};
use prost_types::Any;

pub use self::code::Code;
use crate::{
    Metadata,
    details::{self, BadRequest, ErrorInfo, RetryInfo, bad_request::FieldViolation},
};

/// The result of a call, or of anything else that fails with a [`Status`].
pub type Result<T, E = Status> = std::result::Result<T, E>;

/// The `domain` of every [`ErrorInfo`] that this crate makes.
pub const ERROR_DOMAIN: &str = "subwire";

/// Whether the handler of a failed call ran. Retries of calls that are not idempotent hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executed {
    /// Proven: it never started.
    No,
    /// Nobody can tell: the connection broke, or the time was up.
    Maybe,
    /// It answered this error itself.
    Yes,
}

/// Why a call failed: a code, a message for developers, details for programs.
///
/// One word wide. A handler returns it with `?`; the caller gets code, message, details and
/// metadata back as they were. [`source`](Error::source) stays on the side that set it: it is for
/// that side's logs and is never sent.
///
/// ```
/// use subwire::{Code, Status};
///
/// let status = Status::invalid_argument("prompt is empty").with_field_violation("prompt", "must not be empty");
/// assert_eq!(status.code(), Code::InvalidArgument);
/// assert_eq!(status.field_violations()[0].field, "prompt");
/// ```
#[derive(Clone)]
pub struct Status(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: String,
    details: Vec<Any>,
    metadata: Metadata,
    remote: bool,
    executed: Executed,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Status {
    /// A status with this code; `message` is lower-case, without a full stop or a secret.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            details: Vec::new(),
            metadata: Metadata::new(),
            remote: false,
            executed: Executed::Maybe,
            source: None,
        }))
    }

    /// An error that this crate makes: AIP-193 asks for one [`ErrorInfo`] on each.
    pub(crate) fn made_here(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        let status = Self::new(code, message).with_error_info(reason, ERROR_DOMAIN, []);
        let executed = if never_started(reason) { Executed::No } else { Executed::Maybe };
        status.with_executed(executed)
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The message, for developers.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether it came from the other side, rather than from this process.
    pub fn is_remote(&self) -> bool {
        self.0.remote
    }

    /// Whether the handler ran.
    pub fn executed(&self) -> Executed {
        self.0.executed
    }

    /// Metadata that travels with the error: a call's trailers.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// The metadata, to add to it.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        &mut self.0.metadata
    }

    /// Adds a detail. AIP-193: each type at most once.
    pub fn with_details<M: Message + Name>(mut self, detail: &M) -> Self {
        self.0.details.push(Any { type_url: M::type_url(), value: detail.encode_to_vec() });
        self
    }

    /// The detail of type `M`, if there is one that can be decoded.
    pub fn details<M: Message + Name + Default>(&self) -> Option<M> {
        let url = M::type_url();
        let detail = self.0.details.iter().find(|detail| detail.type_url == url)?;
        M::decode(detail.value.as_slice()).ok()
    }

    /// Every detail, as it travels.
    pub fn raw_details(&self) -> &[Any] {
        &self.0.details
    }

    /// Says why, for programs: `reason` in `UPPER_SNAKE_CASE`, `domain` the name of the service.
    pub fn with_error_info<const N: usize>(
        self,
        reason: impl Into<String>,
        domain: impl Into<String>,
        metadata: [(&str, String); N],
    ) -> Self {
        let metadata: BTreeMap<_, _> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        self.with_details(&ErrorInfo { reason: reason.into(), domain: domain.into(), metadata })
    }

    /// Says in front of the message what it is about.
    pub(crate) fn with_context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// Adds to the metadata of its [`ErrorInfo`].
    pub(crate) fn with_fact(mut self, key: &str, value: String) -> Self {
        let mut info = self.error_info().unwrap_or_default();
        info.metadata.insert(key.to_owned(), value);
        self.0.details.retain(|detail| detail.type_url != ErrorInfo::type_url());
        self.with_details(&info)
    }

    /// Why, for programs.
    pub fn error_info(&self) -> Option<ErrorInfo> {
        self.details()
    }

    /// The reason of its [`ErrorInfo`], one of [`reason`] where the runtime made it.
    pub fn reason(&self) -> Option<String> {
        self.error_info().map(|info| info.reason)
    }

    /// Names a field of the request that is wrong. May be called once for each field.
    pub fn with_field_violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        let mut bad: BadRequest = self.details().unwrap_or_default();
        bad.field_violations.push(FieldViolation {
            field: field.into(),
            description: description.into(),
            ..FieldViolation::default()
        });
        self.0.details.retain(|detail| detail.type_url != BadRequest::type_url());
        self.with_details(&bad)
    }

    /// The fields of the request that are wrong.
    pub fn field_violations(&self) -> Vec<FieldViolation> {
        self.details::<BadRequest>().unwrap_or_default().field_violations
    }

    /// Tells the caller how long to wait before trying again.
    pub fn with_retry_delay(self, delay: Duration) -> Self {
        let retry_delay = prost_types::Duration::try_from(delay).ok();
        self.with_details(&RetryInfo { retry_delay })
    }

    /// How long the other side asks to wait before trying again.
    pub fn retry_delay(&self) -> Option<Duration> {
        Duration::try_from(self.details::<RetryInfo>()?.retry_delay?).ok()
    }

    /// Keeps the cause for this side's logs. It is never sent.
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) fn with_executed(mut self, executed: Executed) -> Self {
        self.0.executed = executed;
        self
    }

    /// The same in some `bytes`: a text of at most a quarter of them, the [`ErrorInfo`] before other details, and
    /// metadata last. What does not fit is left out.
    pub(crate) fn shortened(&self, bytes: usize) -> Self {
        let mut shortened = Self::new(self.code(), cut(self.message(), bytes / 4)).with_executed(self.executed());
        shortened.0.remote = self.0.remote;
        let mut room = bytes.saturating_sub(shortened.message().len());
        let mut fits = |bytes: usize| {
            let fits = bytes <= room;
            room -= if fits { bytes } else { 0 };
            fits
        };
        let of_reason = |detail: &&Any| detail.type_url == ErrorInfo::type_url();
        let (reason, others): (Vec<_>, Vec<_>) = self.0.details.iter().partition(of_reason);
        let details = reason.into_iter().chain(others).filter(|detail| fits(detail.encoded_len() + 8));
        shortened.0.details = details.cloned().collect();
        for (name, value) in self.metadata().iter() {
            // Escaped, it may take three times its room.
            if fits(name.len() + 3 * value.len() + 16) {
                // It was in there, so there is room for it.
                let _ = shortened.0.metadata.push(name.to_owned(), value.clone());
            }
        }
        shortened
    }

    /// The same for whoever asked somebody else and failed with that: what the reason proves, it proves of the other.
    pub(crate) fn may_have_run(self) -> Self {
        match self.0.executed {
            Executed::No => self.with_executed(Executed::Maybe),
            _ => self,
        }
    }

    pub(crate) fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.0.metadata = metadata;
        self
    }

    /// As the message that travels: `google.rpc.Status`.
    pub fn to_proto(&self) -> details::Status {
        let proves = |info: ErrorInfo| info.domain == ERROR_DOMAIN && never_started(&info.reason);
        if self.0.executed != Executed::No && self.error_info().is_some_and(proves) {
            return self.clone().with_fact(MAY_HAVE_RUN, "true".to_owned()).with_executed(Executed::No).to_proto();
        }
        details::Status { code: self.0.code.number(), message: self.0.message.clone(), details: self.0.details.clone() }
    }

    /// From the message that travelled. It counts as remote.
    pub fn from_proto(proto: details::Status) -> Self {
        let mut status = Self::new(Code::from_number(proto.code), proto.message);
        status.0.details = proto.details;
        status.0.remote = true;
        let made_by_peer = status.error_info().filter(|info| info.domain == ERROR_DOMAIN);
        status.0.executed = match made_by_peer {
            Some(info) if never_started(&info.reason) && !info.metadata.contains_key(MAY_HAVE_RUN) => Executed::No,
            Some(_) => Executed::Maybe,
            None => Executed::Yes,
        };
        status
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        self.to_proto().encode_to_vec().into()
    }
}

/// The beginning of a text, in at most `bytes`.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    const MARK: &str = "...";
    let room = bytes.saturating_sub(MARK.len());
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= room).last().unwrap_or_default();
    format!("{}{MARK}", text.get(..end).unwrap_or_default())
}

/// In the metadata of an [`ErrorInfo`]: its reason proves nothing of the call that ended with it.
const MAY_HAVE_RUN: &str = "may_have_run";

/// The reasons which prove that no handler ran.
fn never_started(reason: &str) -> bool {
    matches!(
        reason,
        reason::DISCONNECTED
            | reason::EXPIRED
            | reason::IN_FLIGHT_LIMIT
            | reason::INVALID_CONFIG
            | reason::INVALID_METADATA
            | reason::INVALID_SUBJECT
            | reason::INVALID_TIMEOUT
            | reason::MALFORMED_REQUEST
            | reason::NO_RESPONDERS
            | reason::PERMISSION_DENIED
            | reason::TOO_LARGE_REQUEST
            | reason::UNKNOWN_METHOD
    )
}

/// One constructor a code: `Status::not_found("no such model")`.
macro_rules! constructors {
    ($($function:ident => $code:ident),+ $(,)?) => {
        impl Status {$(
            #[doc = concat!("A status with [`Code::", stringify!($code), "`].")]
            pub fn $function(message: impl Into<String>) -> Self {
                Self::new(Code::$code, message)
            }
        )+}
    };
}

constructors! {
    cancelled => Cancelled,
    unknown => Unknown,
    invalid_argument => InvalidArgument,
    deadline_exceeded => DeadlineExceeded,
    not_found => NotFound,
    already_exists => AlreadyExists,
    permission_denied => PermissionDenied,
    resource_exhausted => ResourceExhausted,
    failed_precondition => FailedPrecondition,
    aborted => Aborted,
    out_of_range => OutOfRange,
    unimplemented => Unimplemented,
    internal => Internal,
    unavailable => Unavailable,
    data_loss => DataLoss,
    unauthenticated => Unauthenticated,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message())
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Status");
        debug.field("code", &self.code()).field("message", &self.message());
        if let Some(info) = self.error_info() {
            debug.field("reason", &info.reason);
        }
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish_non_exhaustive()
    }
}

impl Error for Status {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// What a foreign tower layer fails with.
impl From<tower::BoxError> for Status {
    fn from(error: tower::BoxError) -> Self {
        let error = match error.downcast::<Status>() {
            Ok(status) => return *status,
            Err(error) => error,
        };
        if error.is::<tower::timeout::error::Elapsed>() {
            Self::made_here(Code::DeadlineExceeded, reason::DEADLINE, "a timeout layer gave up waiting")
        } else if error.is::<tower::load_shed::error::Overloaded>() {
            Self::made_here(Code::ResourceExhausted, reason::IN_FLIGHT_LIMIT, "a load-shed layer refused the call")
        } else {
            // The text of an error we do not know may hold secrets, so only the source has it.
            Self::unknown("a layer failed").with_source(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_its_number_agree() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), code);
        }
        assert_eq!(Code::from_number(-1), Code::Unknown);
        assert_eq!(Code::from_number(17), Code::Unknown);
    }

    #[test]
    fn a_status_survives_the_wire() {
        let sent = Status::resource_exhausted("tabs\t CR\r LF\n emoji \u{1f980}")
            .with_error_info("QUOTA", "ai", [("limit", "5".to_owned())])
            .with_retry_delay(Duration::from_millis(1500));
        let got = Status::from_proto(sent.to_proto());
        assert_eq!(got.code(), Code::ResourceExhausted);
        assert_eq!(got.message(), sent.message());
        assert_eq!(got.error_info(), sent.error_info());
        assert_eq!(got.retry_delay(), Some(Duration::from_millis(1500)));
        assert!(got.is_remote());
        assert_eq!(got.executed(), Executed::Yes);
    }

    #[test]
    fn a_status_is_one_word_wide() {
        assert_eq!(size_of::<Result<(), Status>>(), size_of::<usize>());
    }

    #[test]
    fn field_violations_add_up_in_one_detail() {
        let status = Status::invalid_argument("bad").with_field_violation("a", "x").with_field_violation("b", "y");
        assert_eq!(status.field_violations().len(), 2);
        assert_eq!(status.raw_details().len(), 1);
    }
}
