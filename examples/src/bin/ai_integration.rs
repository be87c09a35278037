//! Text generation, service and client in one process: nothing has to run beside it.
//!
//! Uses the bus of the environment: in memory, or NATS with `NATS_URL`.

use llm_service::Llm;
use schemas::ai::llm::v1::LlmServer;
use subwire::{Bus, Server};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bus = Bus::from_env().await?;
    let service = Server::builder(&bus).add(LlmServer::new(Llm::from_env()?)).start().await?;
    examples::ask(&bus).await?;
    service.stop().await?;
    bus.close().await?;
    Ok(())
}
