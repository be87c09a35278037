//! [`Facts`]: by what an event is found again.

/// By what an event is found again, beside its type and its time. What is empty counts as not set.
///
/// ```
/// # use subwire_archive::Facts;
/// let facts = Facts::new().agent("backend-1").kind("task_done");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub(crate) agent: Option<String>,
    pub(crate) kind: Option<String>,
}

impl Facts {
    /// None: the event is found by its type and its time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose event it is.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = Some(agent.into()).filter(|agent| !agent.is_empty());
        self
    }

    /// What kind of event it is, among those of its type.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into()).filter(|kind| !kind.is_empty());
        self
    }
}
