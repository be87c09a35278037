//! The service as a program: which bus and which model it uses is in the environment.

use llm_service::Llm;
use schemas::ai::llm::v1::LlmServer;

#[tokio::main]
async fn main() -> subwire::Result<()> {
    subwire::app::init_logs();
    subwire::app::run(LlmServer::new(Llm::from_env()?)).await
}
