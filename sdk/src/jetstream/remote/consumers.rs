//! What [`Remote`] does with consumers.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    Remote,
    api::{self, Page, Success},
    consumer_config::{ConsumerConfig, filter},
    name::{consumer_verb, stream_verb},
    stream_config::merge,
};
use crate::{
    Code, Result,
    jetstream::{Action, ConsumerInfo, ConsumerSpec},
};

/// A [`ConsumerInfo`] as JetStream writes it.
#[derive(Deserialize)]
struct Info {
    stream_name: String,
    name: String,
    config: ConsumerConfig,
    #[serde(default)]
    delivered: Place,
    #[serde(default)]
    ack_floor: Place,
    #[serde(default)]
    num_ack_pending: u64,
    #[serde(default)]
    num_redelivered: u64,
    #[serde(default)]
    num_waiting: u64,
    #[serde(default)]
    num_pending: u64,
}

#[derive(Default, Deserialize)]
struct Place {
    #[serde(default)]
    stream_seq: u64,
}

impl From<Info> for ConsumerInfo {
    fn from(info: Info) -> Self {
        Self {
            spec: info.config.into_spec(info.stream_name, info.name),
            pending: info.num_pending,
            ack_pending: info.num_ack_pending,
            redelivered: info.num_redelivered,
            ack_floor: info.ack_floor.stream_seq,
            delivered: info.delivered.stream_seq,
            waiting: info.num_waiting,
        }
    }
}

#[derive(Serialize)]
struct Create<'a, C> {
    stream_name: &'a str,
    config: C,
    action: &'static str,
}

impl Remote<'_> {
    pub(in crate::jetstream) async fn put_consumer(&self, spec: &ConsumerSpec, action: Action) -> Result<ConsumerInfo> {
        let mut verb = consumer_verb("CONSUMER.CREATE", &spec.stream, &spec.name)?;
        if let Some(filter) = filter(spec) {
            // So that a permission can name the filter; several have no such form.
            let _ = write!(verb, ".{filter}");
        }
        let (stream_name, config) = (spec.stream.as_ref(), ConsumerConfig::from(spec));
        let info: Info = match action {
            Action::Create => api::call(self.bus, &verb, &Create { stream_name, config, action: "create" }).await?,
            Action::Update => {
                let config = merge(self.consumer_config(spec).await?, &config);
                api::call(self.bus, &verb, &Create { stream_name, config, action: "update" }).await?
            }
        };
        Ok(info.into())
    }

    /// All that the server knows of how this consumer should be.
    async fn consumer_config(&self, spec: &ConsumerSpec) -> Result<Map<String, Value>> {
        #[derive(Deserialize)]
        struct Now {
            config: Map<String, Value>,
        }
        let verb = consumer_verb("CONSUMER.INFO", &spec.stream, &spec.name)?;
        let now: Now = api::call(self.bus, &verb, &()).await?;
        Ok(now.config)
    }

    pub(in crate::jetstream) async fn consumer_info(&self, stream: &str, consumer: &str) -> Result<ConsumerInfo> {
        let verb = consumer_verb("CONSUMER.INFO", stream, consumer)?;
        let info: Info = api::call(self.bus, &verb, &()).await?;
        Ok(info.into())
    }

    pub(in crate::jetstream) async fn consumer_names(&self, stream: &str) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Names {
            #[serde(default)]
            total: usize,
            consumers: Option<Vec<String>>,
        }
        impl Page for Names {
            fn extent(&self) -> (usize, usize) {
                (self.total, self.consumers.as_ref().map_or(0, Vec::len))
            }
        }
        let mut names = Vec::new();
        let request = |offset| json!({"offset": offset});
        let take = |page: Names| names.extend(page.consumers.unwrap_or_default());
        api::pages(self.bus, &stream_verb("CONSUMER.NAMES", stream)?, request, take).await?;
        names.sort_unstable();
        Ok(names)
    }

    pub(in crate::jetstream) async fn delete_consumer(&self, stream: &str, consumer: &str) -> Result<()> {
        let Success {} = api::call(self.bus, &consumer_verb("CONSUMER.DELETE", stream, consumer)?, &()).await?;
        Ok(())
    }

    /// Fails when it is certain that this consumer cannot be read; what cannot be known is no failure.
    pub(super) async fn check_consumer(&self, stream: &str, consumer: &str) -> Result<()> {
        match self.consumer_info(stream, consumer).await {
            Err(status) if status.code() == Code::PermissionDenied => {
                // Whether it may be read is another question, which the first pull answers.
                tracing::debug!(%status, "cannot tell whether a consumer is there");
                Ok(())
            }
            info => info.map(drop),
        }
    }
}
