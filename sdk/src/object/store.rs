//! [`Store`]: where the parts of objects are.

use std::sync::OnceLock;

use base64::{Engine, engine::general_purpose::URL_SAFE};

use super::{ObjectInfo, chunks::Chunks, janitor::Janitor, spec::stream};
use crate::{
    Bus, Code, Events, Executed, Result, Status, StreamInfo,
    bus::{Message, Subject},
    jetstream::{Get, JetStream, header},
    kv::bucket::is_wrong_sequence,
    status::reason,
};

/// How often a change of an object is tried again because another was quicker.
const REPLACE_ATTEMPTS: usize = 16;

/// Where the parts of objects are.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) streams: JetStream,
    pub(super) events: Events,
    /// `models`
    pub(super) name: String,
    /// `OBJ_models`
    pub(super) stream: String,
    pub(super) chunks: Chunks,
    direct: bool,
    /// Made by the first put.
    janitor: OnceLock<Janitor>,
}

impl Store {
    pub(super) fn new(bus: &Bus, bucket: &str, info: &StreamInfo) -> Self {
        let (streams, stream) = (JetStream::new(bus), stream(bucket));
        Self {
            chunks: Chunks::new(&streams, bucket, &stream),
            streams,
            events: Events::new(bus),
            name: bucket.to_owned(),
            stream,
            direct: info.spec.allow_direct,
            janitor: OnceLock::new(),
        }
    }

    /// Who takes back what dropped puts have stored. Has to be called in a runtime for the first time.
    pub(super) fn janitor(&self) -> &Janitor {
        self.janitor.get_or_init(|| Janitor::start(self.chunks.clone()))
    }

    /// Where the info of an object is. The name may be any text.
    pub(super) fn meta(&self, name: &str) -> Result<Subject> {
        if name.is_empty() {
            let message = format!("an object of the store {} has to have a name", self.name);
            let status = Status::made_here(Code::InvalidArgument, reason::INVALID_SUBJECT, message);
            return Err(status.with_field_violation("name", "it is empty"));
        }
        let subject = format!("$O.{}.M.{}", self.name, URL_SAFE.encode(name));
        Subject::checked_length(&subject).map_err(|status| {
            let message = format!("the name {name:?} is too long for an object of the store {}", self.name);
            Status::made_here(Code::InvalidArgument, reason::INVALID_SUBJECT, message)
                .with_field_violation("name", status.message())
        })
    }

    /// Where the infos of all objects are.
    pub(super) fn metas(&self) -> String {
        format!("$O.{}.M.>", self.name)
    }

    /// What is stored of an object, and be it that it is deleted. `latest`: asks the leader, and not
    /// whoever has a copy.
    pub(super) async fn info(&self, name: &str, latest: bool) -> Result<Option<ObjectInfo>> {
        let get = Get::Last(self.meta(name)?.as_str().to_owned());
        let stored = self.streams.get_message(&self.stream, &get, self.direct && !latest).await?;
        stored.map(|stored| ObjectInfo::of_message(&stored.message, stored.sequence, stored.time)).transpose()
    }

    /// Makes this the info of its name. What it replaces; `None` for nothing.
    ///
    /// Nobody's version is replaced unseen, as its chunks would remain for ever.
    pub(super) async fn replace(&self, info: &mut ObjectInfo, chunk_bytes: Option<u64>) -> Result<Option<ObjectInfo>> {
        let subject = self.meta(&info.name)?;
        let payload = info.to_json(chunk_bytes)?;
        let mut replaced = None;
        for attempt in 0..REPLACE_ATTEMPTS {
            // Refused may mean that it was our own that was in the way.
            let so_far = if attempt == 0 { Executed::No } else { Executed::Maybe };
            let last = self.info(&info.name, true).await.map_err(|status| status.with_executed(so_far))?;
            if let Some(last) = &last
                && last.nuid == info.nuid
                && last.deleted == info.deleted
            {
                // Our own: its acknowledgement was lost.
                info.revision = last.revision;
                return Ok(replaced);
            }
            if attempt > 0 && info.chunks > 0 && !self.chunks.any(&info.nuid).await? {
                // It was our own, and `last` has replaced it: what we store now would be empty.
                return Ok(None);
            }
            let publish = self
                .events
                .publish(Message::new(subject.clone(), payload.clone()))
                .id(format!("{}-{}", info.nuid, u8::from(info.deleted)))
                .header(header::ROLLUP, header::ROLLUP_SUBJECT)
                .expect_subject_sequence(last.as_ref().map_or(0, |last| last.revision));
            match publish.await {
                Ok(ack) => {
                    info.revision = ack.sequence;
                    // An earlier attempt was stored, and `last` has replaced it: that one's chunks are in use.
                    let is_late = ack.duplicate && attempt > 0;
                    return Ok(if is_late { None } else { last });
                }
                Err(status) if is_wrong_sequence(&status) => replaced = last,
                Err(status) => return Err(status),
            }
        }
        let message = format!("{:?} of the store {} is being changed by others all the while", info.name, self.name);
        Err(Status::made_here(Code::Aborted, reason::WRONG_SEQUENCE, message).with_executed(Executed::No))
    }
}
