//! [`ObjectInfo`]: what a store says of an object.

use std::{collections::BTreeMap, time::SystemTime};

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Code, Result, Status, bus::Message, kv::settings::check_name, status::reason};

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectInfo {
    /// The store that has it.
    pub bucket: String,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Names and values that its owner gave it.
    pub metadata: BTreeMap<String, String>,
    /// Bytes.
    pub size: u64,
    /// Messages that it is stored in.
    pub chunks: u64,
    /// `SHA-256=<base64url>`. Absent where whoever wrote it made none.
    pub digest: Option<String>,
    /// When it was put.
    pub modified: SystemTime,
    /// The place of this version. Counts everything that the store stores.
    pub revision: u64,
    /// It is deleted: this is what remains.
    pub deleted: bool,
    /// It stands for another one, which `get` reads in its place.
    pub link: Option<ObjectLink>,
    /// Names the chunks of this version.
    pub(super) nuid: String,
    /// Whatever other clients know.
    headers: Option<serde_json::Value>,
}

/// The object, or the whole store, that another stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLink {
    /// The store.
    pub bucket: String,
    /// The object; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What is said of an object when it is put: its name, and what else is worth knowing.
///
/// ```
/// # use subwire::ObjectMeta;
/// let meta = ObjectMeta::new("model.bin").description("the one that works").metadata("layers", "12");
/// assert_eq!(meta.metadata["layers"], "12");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Any text, 300 bytes or so.
    pub name: String,
    /// For people.
    pub description: String,
    /// Names and values, as you like.
    pub metadata: BTreeMap<String, String>,
}

impl ObjectMeta {
    /// An object of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Says what it is for.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds a value.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }
}

impl From<&str> for ObjectMeta {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for ObjectMeta {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

/// The JSON of ADR-20.
#[derive(Serialize, Deserialize)]
struct Wire {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    options: Option<Options>,
    bucket: String,
    #[serde(default)]
    nuid: String,
    #[serde(default)]
    size: u64,
    /// For those who read it: the time that counts is that of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mtime: Option<String>,
    #[serde(default)]
    chunks: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
}

#[derive(Serialize, Deserialize)]
struct Options {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<ObjectLink>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_chunk_size: Option<u64>,
}

impl ObjectInfo {
    /// An object that is being put.
    pub(super) fn new(bucket: &str, meta: ObjectMeta, nuid: String) -> Self {
        Self {
            bucket: bucket.to_owned(),
            name: meta.name,
            description: meta.description,
            metadata: meta.metadata,
            size: 0,
            chunks: 0,
            digest: None,
            modified: SystemTime::now(),
            revision: 0,
            deleted: false,
            link: None,
            nuid,
            headers: None,
        }
    }

    /// What remains of it when it is deleted.
    pub(super) fn into_deleted(self) -> Self {
        Self { size: 0, chunks: 0, digest: None, deleted: true, link: None, modified: SystemTime::now(), ..self }
    }

    pub(super) fn to_json(&self, chunk_bytes: Option<u64>) -> Result<Vec<u8>> {
        let wire = Wire {
            name: self.name.clone(),
            description: Some(self.description.clone()).filter(|text| !text.is_empty()),
            headers: self.headers.clone(),
            metadata: Some(self.metadata.clone()).filter(|metadata| !metadata.is_empty()),
            options: chunk_bytes.map(|bytes| Options { link: None, max_chunk_size: Some(bytes) }),
            bucket: self.bucket.clone(),
            nuid: self.nuid.clone(),
            size: self.size,
            mtime: Some(Timestamp::from(self.modified).to_string()),
            chunks: self.chunks,
            digest: self.digest.clone(),
            deleted: self.deleted,
        };
        serde_json::to_vec(&wire).map_err(|error| Status::internal("an object's info is no JSON").with_source(error))
    }

    /// What a message says of an object.
    ///
    /// # Errors
    /// `DATA_LOSS`, reason `MALFORMED_EVENT`: it says nothing that can be relied on.
    pub(super) fn of_message(message: &Message, revision: u64, time: SystemTime) -> Result<Self> {
        let malformed = |why: String| {
            let message = format!("what is stored on {} is no object's info: {why}", message.subject);
            Status::made_here(Code::DataLoss, reason::MALFORMED_EVENT, message)
        };
        let wire: Wire = serde_json::from_slice(&message.payload).map_err(|error| malformed(error.to_string()))?;
        // It becomes a part of subjects, of which some are purged: a wildcard would take other objects along.
        let is_token = |nuid: &str| nuid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !is_token(&wire.nuid) || (wire.nuid.is_empty() && wire.chunks > 0) {
            return Err(malformed(format!("its nuid is {:?}", wire.nuid)));
        }
        let link = wire.options.and_then(|options| options.link);
        if let Some(link) = &link {
            check_name(&link.bucket).map_err(|_| malformed(format!("it is a link to {:?}", link.bucket)))?;
        }
        Ok(Self {
            bucket: wire.bucket,
            name: wire.name,
            description: wire.description.unwrap_or_default(),
            metadata: wire.metadata.unwrap_or_default(),
            size: wire.size,
            chunks: wire.chunks,
            digest: wire.digest.filter(|digest| !digest.is_empty()),
            modified: time,
            revision,
            deleted: wire.deleted,
            link,
            nuid: wire.nuid,
            headers: wire.headers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Subject;

    fn read(json: &str) -> Result<ObjectInfo> {
        let message = Message::new(Subject::trusted("$O.b.M.bQ==".into()), json.to_owned());
        ObjectInfo::of_message(&message, 7, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn what_other_clients_write_is_understood() -> Result<()> {
        let go = r#"{"name":"m","options":{"max_chunk_size":131072},"bucket":"b","nuid":"N1","size":3,
            "mtime":"0001-01-01T00:00:00Z","chunks":1,"digest":"SHA-256=x"}"#;
        let info = read(go)?;
        assert_eq!((info.name.as_str(), info.size, info.chunks, info.revision), ("m", 3, 1, 7));
        let rust = r#"{"name":"m","description":null,"metadata":{},"headers":{"A":["b"]},"bucket":"b","nuid":"",
            "options":{"link":{"name":"n","bucket":"c"},"max_chunk_size":null},"size":0,"chunks":0,"mtime":null}"#;
        let link = ObjectLink { bucket: "c".into(), name: Some("n".into()) };
        assert_eq!(read(rust)?.link, Some(link));
        Ok(())
    }

    #[test]
    fn what_could_reach_other_objects_is_refused() {
        for nuid in [">", "*", "a.b", "a b", ""] {
            let json = format!(r#"{{"name":"m","bucket":"b","nuid":{nuid:?},"size":1,"chunks":1}}"#);
            assert_eq!(read(&json).expect_err(nuid).code(), Code::DataLoss);
        }
        assert!(read("no JSON").is_err());
    }

    #[test]
    fn what_is_written_comes_back() -> Result<()> {
        let meta = ObjectMeta::new("mödel").description("d").metadata("k", "v");
        let mut info = ObjectInfo::new("b", meta, "N2".into());
        (info.size, info.chunks, info.digest) = (5, 1, Some("SHA-256=y".into()));
        let json = String::from_utf8(info.to_json(Some(131_072))?).expect("text");
        let expected = ObjectInfo { modified: SystemTime::UNIX_EPOCH, revision: 7, ..info };
        assert_eq!(read(&json)?, expected);
        Ok(())
    }
}
