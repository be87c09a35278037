//! What can be wrong with an object.

use std::io;

use super::ObjectInfo;
use crate::{Code, Executed, Status, status::reason};

pub(super) fn not_found(bucket: &str, name: &str) -> Status {
    let message = format!("the object store {bucket} has no {name:?}");
    Status::made_here(Code::NotFound, reason::OBJECT_NOT_FOUND, message).with_executed(Executed::No)
}

pub(super) fn changed(info: &ObjectInfo) -> Status {
    let message = format!("{:?} was replaced or deleted while it was read: begin again", info.name);
    Status::made_here(Code::Aborted, reason::OBJECT_CHANGED, message)
}

pub(super) fn incomplete(info: &ObjectInfo, size: u64, chunks: u64) -> Status {
    let message = format!(
        "{:?} has {} bytes in {} chunks, and {size} bytes in {chunks} chunks are there",
        info.name, info.size, info.chunks
    );
    Status::made_here(Code::DataLoss, reason::OBJECT_INCOMPLETE, message)
}

pub(super) fn wrong_digest(info: &ObjectInfo) -> Status {
    let message = format!("the bytes of {:?} are not those that were put: their digest is another", info.name);
    Status::made_here(Code::DataLoss, reason::WRONG_DIGEST, message)
}

/// Its own status where the source is something of ours, such as another object.
pub(super) fn source_failed(error: io::Error) -> Status {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Status>()) {
        Some(status) => status.clone(),
        None => {
            let message = format!("what the object is read from has failed: {error}");
            Status::made_here(Code::Unknown, reason::SOURCE_FAILED, message).with_source(error)
        }
    }
}

/// For who reads an object as bytes; the status is inside.
pub(super) fn into_io(status: Status) -> io::Error {
    let kind = match status.code() {
        Code::NotFound => io::ErrorKind::NotFound,
        Code::PermissionDenied => io::ErrorKind::PermissionDenied,
        Code::DataLoss => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, status)
}
