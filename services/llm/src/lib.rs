//! `ai.llm.v1.LlmService` over a [`Model`].
//!
//! There are two models: [`LocalModel`] is the default, needs nothing and always answers the same;
//! [`OpenAiModel`] asks an OpenAI-compatible endpoint. The environment chooses, see
//! [`Llm::from_env`]:
//!
//! | variable | what it says |
//! | --- | --- |
//! | `LLM_BASE_URL` | where the endpoint is, as the OpenAI libraries want it: `https://api.openai.com/v1`. A URL without a path gets `/v1`. Unset: the local model |
//! | `LLM_MODEL` | the model to ask for when a request names none. Needed with `LLM_BASE_URL` |
//! | `LLM_API_KEY` | the key. Unset: none is sent |
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> subwire::Result<()> {
//! use llm_service::Llm;
//! use schemas::ai::llm::v1::{InferRequest, LlmClient, LlmServer};
//!
//! let llm = LlmClient::new(LlmServer::new(Llm::default()));
//! let answer = llm.infer(InferRequest { prompt: "hi".into(), ..Default::default() }).await?;
//! assert_eq!(answer.output, "Response to: hi");
//! # Ok(())
//! # }
//! ```

mod history;
pub mod limits;
pub mod model;
mod service;

pub use self::{
    model::{Model, local::LocalModel, openai::OpenAiModel},
    service::Llm,
};
