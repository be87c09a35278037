//! Asks the service that `ai_integration_service` runs: `NATS_URL=nats://127.0.0.1:4222` for both.

use subwire::Bus;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bus = Bus::from_env().await?;
    examples::ask(&bus).await?;
    bus.close().await?;
    Ok(())
}
