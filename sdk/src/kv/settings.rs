//! What the settings of a bucket or a store may be, and how one is made that has them.

use std::{
    fmt::{Debug, Display},
    ops::RangeInclusive,
    time::Duration,
};

use crate::{Code, Executed, Result, Status, StreamInfo, StreamSpec, jetstream::JetStream, status::reason};

/// The shortest time to live that nats-server keeps: it counts in seconds.
const TTL_MIN: Duration = Duration::from_secs(1);

/// How long a stream knows ids, when nobody says.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// How long a stream with this spec knows ids.
pub(crate) fn duplicate_window(spec: &StreamSpec) -> Duration {
    let default = spec.max_age.map_or(DUPLICATE_WINDOW, |age| age.min(DUPLICATE_WINDOW));
    spec.duplicate_window.unwrap_or(default)
}

pub(crate) fn check_name(bucket: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match !bucket.is_empty() && bucket.bytes().all(legal) {
        true => Ok(()),
        false => Err(refused(bucket, "its name may have letters, digits, `-` and `_`")),
    }
}

pub(crate) fn check_setting<N: PartialOrd + Display + Debug>(
    bucket: &str,
    name: &str,
    value: N,
    range: RangeInclusive<N>,
) -> Result<()> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(refused(bucket, &format!("{name} is {value} and may be {range:?}"))),
    }
}

/// A stream takes 0 for no limit, and counts no further than 63 bits.
pub(crate) fn check_max_bytes(bucket: &str, bytes: Option<u64>) -> Result<()> {
    bytes.map_or(Ok(()), |bytes| check_setting(bucket, "max_bytes", bytes, 1..=i64::MAX.unsigned_abs()))
}

pub(crate) fn check_ttl(bucket: &str, ttl: Option<Duration>) -> Result<()> {
    match ttl.is_none_or(|ttl| ttl >= TTL_MIN) {
        true => Ok(()),
        false => Err(refused(bucket, "a time to live is at least a second")),
    }
}

fn refused(bucket: &str, why: &str) -> Status {
    let message = format!("the bucket {bucket:?} is not possible: {why}");
    Status::made_here(Code::InvalidArgument, reason::INVALID_CONFIG, message).with_executed(Executed::No)
}

/// The stream of a bucket: made, unless it is there. One that is there is not changed.
pub(crate) async fn open_stream(streams: &JetStream, bucket: &str, spec: &StreamSpec) -> Result<StreamInfo> {
    let info = match streams.stream_info(&spec.name).await {
        Err(status) if status.code() == Code::NotFound => match streams.create_stream(spec).await {
            // Another was quicker.
            Err(status) if status.code() == Code::AlreadyExists => streams.stream_info(&spec.name).await?,
            made => return made,
        },
        info => info?,
    };
    match differences(&info.spec, spec).as_slice() {
        [] => Ok(info),
        differences => {
            let message = format!(
                "there is a bucket {bucket} with other settings: {}; Streams::plan shows what Streams::apply would change",
                differences.join(", ")
            );
            Err(Status::made_here(Code::AlreadyExists, reason::STREAM_EXISTS, message).with_executed(Executed::No))
        }
    }
}

/// In what a bucket is other than it should be, of what a program can rely on. Its description and
/// replicas are its operator's.
fn differences(is: &StreamSpec, should: &StreamSpec) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, is: &dyn Debug, should: &dyn Debug| {
        let (is, should) = (format!("{is:?}"), format!("{should:?}"));
        if is != should {
            found.push(format!("{what} is {is} and not {should}"));
        }
    };
    compare("subjects", &is.subjects, &should.subjects);
    compare("history", &is.max_messages_per_subject, &should.max_messages_per_subject);
    compare("ttl", &is.max_age, &should.max_age);
    compare("max_bytes", &is.max_bytes, &should.max_bytes);
    compare("max_value_bytes", &is.max_message_bytes, &should.max_message_bytes);
    compare("storage", &is.storage, &should.storage);
    compare("allow_rollup", &is.allow_rollup, &should.allow_rollup);
    // More than asked for does no harm.
    if should.allow_message_ttl {
        compare("key_ttl", &is.allow_message_ttl, &true);
    }
    found
}
