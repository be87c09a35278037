//! Serves text generation on NATS, until SIGTERM or Ctrl-C: `NATS_URL=nats://127.0.0.1:4222`.
//!
//! This is `subwire::app::run` with the pieces visible, and one line more on standard output.

use llm_service::Llm;
use schemas::ai::llm::v1::{LlmServer, SERVICE};
use subwire::{Bus, Server, app};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    app::init_logs();
    let bus = Bus::from_env().await?;
    let stopped = async {
        // First polled when the broker knows of every subject.
        println!("Serving {} on {}", SERVICE.subject, bus.describe());
        app::shutdown_signal().await;
    };
    Server::builder(&bus).add(LlmServer::new(Llm::from_env()?)).serve(stopped).await?;
    bus.close().await?;
    Ok(())
}
