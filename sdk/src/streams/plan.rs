//! [`Plan`]: what has to change.

use std::fmt;

use super::difference::{self, Difference};
use crate::{
    Code, Result,
    jetstream::{ConsumerSpec, JetStream, Specs, StreamSpec},
};

/// What has to change, in the order in which it is done. As text, one line for each: `+` is made, `~`
/// is changed, `!` deletes messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One thing that has to change.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A stream.
    Stream {
        /// What it should be.
        spec: StreamSpec,
        /// How it gets there.
        change: Change,
    },
    /// A consumer.
    Consumer {
        /// What it should be.
        spec: ConsumerSpec,
        /// How it gets there.
        change: Change,
    },
}

/// What is done to something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is made.
    Create,
    /// It is changed in this.
    Update(Vec<Difference>),
}

impl Plan {
    pub(super) async fn new(streams: &JetStream, specs: &Specs) -> Result<Self> {
        let mut steps = Vec::new();
        for spec in &specs.streams {
            let change = match streams.stream_info(&spec.name).await {
                Ok(info) => Change::update(difference::of_streams(&info, spec)),
                Err(status) if status.code() == Code::NotFound => Some(Change::Create),
                Err(status) => return Err(status),
            };
            steps.extend(change.map(|change| Step::Stream { spec: spec.clone(), change }));
        }
        for spec in &specs.consumers {
            let change = match streams.consumer_info(&spec.stream, &spec.name).await {
                Ok(info) => {
                    let stream = streams.stream_info(&spec.stream).await?;
                    Change::update(difference::of_consumers(&info.spec, spec, &stream))
                }
                Err(status) if status.code() == Code::NotFound => Some(Change::Create),
                Err(status) => return Err(status),
            };
            steps.extend(change.map(|change| Step::Consumer { spec: spec.clone(), change }));
        }
        Ok(Self { steps })
    }

    /// Whether everything is as it should be.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What it would delete, in words.
    pub fn losses(&self) -> impl Iterator<Item = String> {
        let updates = self.steps.iter().filter_map(|step| match step.change() {
            Change::Update(differences) => Some((step, differences)),
            Change::Create => None,
        });
        updates.flat_map(|(step, differences)| {
            let losses = differences.iter().filter_map(|difference| difference.loss.as_deref());
            losses.map(move |loss| format!("{step}: {loss}"))
        })
    }
}

impl Step {
    /// How it gets there.
    pub fn change(&self) -> &Change {
        match self {
            Self::Stream { change, .. } | Self::Consumer { change, .. } => change,
        }
    }
}

impl Change {
    fn update(differences: Vec<Difference>) -> Option<Self> {
        (!differences.is_empty()).then_some(Self::Update(differences))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream { spec, .. } => write!(f, "stream {}", spec.name),
            Self::Consumer { spec, .. } => write!(f, "consumer {}/{}", spec.stream, spec.name),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            match step.change() {
                Change::Create => writeln!(f, "+ {step}")?,
                Change::Update(differences) => {
                    for difference in differences {
                        let sign = if difference.loss.is_some() { '!' } else { '~' };
                        writeln!(f, "{sign} {step} {difference}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
