//! What [`Remote`] does with streams.

use std::{collections::HashMap, time::SystemTime};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Remote,
    api::{self, Page, Success},
    name::stream_verb,
    stream_config::{StreamConfig, merge},
    times::from_rfc3339,
};
use crate::{
    Result,
    bus::Subject,
    jetstream::{Purge, StreamInfo, StreamSpec},
};

/// A [`StreamInfo`] as JetStream writes it.
#[derive(Deserialize)]
struct Info {
    config: StreamConfig,
    #[serde(default)]
    created: String,
    #[serde(default)]
    state: StreamState,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamState {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    first_ts: String,
    last_seq: u64,
    consumer_count: u64,
}

impl From<Info> for StreamInfo {
    fn from(Info { config, created, state }: Info) -> Self {
        Self {
            spec: config.into(),
            messages: state.messages,
            bytes: state.bytes,
            first_sequence: state.first_seq,
            last_sequence: state.last_seq,
            // The server keeps the time of a message that has gone.
            first_time: from_rfc3339(&state.first_ts).filter(|_| state.messages > 0),
            consumers: state.consumer_count,
            created: from_rfc3339(&created).unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

impl Remote<'_> {
    pub(in crate::jetstream) async fn create_stream(&self, spec: &StreamSpec) -> Result<StreamInfo> {
        let verb = stream_verb("STREAM.CREATE", &spec.name)?;
        let info: Info = api::call(self.bus, &verb, &StreamConfig::from(spec)).await?;
        Ok(info.into())
    }

    pub(in crate::jetstream) async fn update_stream(&self, spec: &StreamSpec) -> Result<StreamInfo> {
        #[derive(Deserialize)]
        struct Now {
            config: Map<String, Value>,
        }
        let now: Now = api::call(self.bus, &stream_verb("STREAM.INFO", &spec.name)?, &()).await?;
        let config = merge(now.config, &StreamConfig::from(spec));
        let info: Info = api::call(self.bus, &stream_verb("STREAM.UPDATE", &spec.name)?, &config).await?;
        Ok(info.into())
    }

    pub(in crate::jetstream) async fn stream_info(&self, stream: &str) -> Result<StreamInfo> {
        let info: Info = api::call(self.bus, &stream_verb("STREAM.INFO", stream)?, &()).await?;
        Ok(info.into())
    }

    pub(in crate::jetstream) async fn stream_names(&self) -> Result<Vec<String>> {
        self.names_of_streams(None).await
    }

    /// The names of the streams that take this subject.
    pub(super) async fn streams_with(&self, subject: &Subject) -> Result<Vec<String>> {
        self.names_of_streams(Some(subject.as_str())).await
    }

    async fn names_of_streams(&self, subject: Option<&str>) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Names {
            #[serde(default)]
            total: usize,
            streams: Option<Vec<String>>,
        }
        impl Page for Names {
            fn extent(&self) -> (usize, usize) {
                (self.total, self.streams.as_ref().map_or(0, Vec::len))
            }
        }
        let mut names = Vec::new();
        let request = |offset| match subject {
            Some(subject) => json!({"offset": offset, "subject": subject}),
            None => json!({"offset": offset}),
        };
        api::pages(self.bus, "STREAM.NAMES", request, |page: Names| names.extend(page.streams.unwrap_or_default()))
            .await?;
        names.sort_unstable();
        Ok(names)
    }

    pub(in crate::jetstream) async fn subjects(&self, stream: &str, filter: &str) -> Result<Vec<(String, u64)>> {
        #[derive(Deserialize)]
        struct Subjects {
            #[serde(default)]
            total: usize,
            state: Counts,
        }
        #[derive(Deserialize)]
        struct Counts {
            #[serde(default)]
            subjects: Option<HashMap<String, u64>>,
        }
        impl Page for Subjects {
            fn extent(&self) -> (usize, usize) {
                (self.total, self.state.subjects.as_ref().map_or(0, HashMap::len))
            }
        }
        let mut subjects = Vec::new();
        let request = |offset| json!({"subjects_filter": filter, "offset": offset});
        let take = |page: Subjects| subjects.extend(page.state.subjects.unwrap_or_default());
        api::pages(self.bus, &stream_verb("STREAM.INFO", stream)?, request, take).await?;
        subjects.sort_unstable();
        Ok(subjects)
    }

    pub(in crate::jetstream) async fn delete_stream(&self, stream: &str) -> Result<()> {
        let Success {} = api::call(self.bus, &stream_verb("STREAM.DELETE", stream)?, &()).await?;
        Ok(())
    }

    pub(in crate::jetstream) async fn purge_stream(&self, stream: &str, purge: &Purge) -> Result<u64> {
        #[derive(Deserialize)]
        struct Purged {
            purged: u64,
        }
        let mut request = Map::new();
        request.extend(purge.subject.as_deref().map(|subject| ("filter".to_owned(), subject.into())));
        request.extend(purge.before.map(|sequence| ("seq".to_owned(), sequence.into())));
        request.extend(purge.keep.map(|keep| ("keep".to_owned(), keep.into())));
        let purged: Purged = api::call(self.bus, &stream_verb("STREAM.PURGE", stream)?, &request).await?;
        Ok(purged.purged)
    }
}
