//! A whole program in a line: a bus from the environment, a log, signals, and a clean stop.

use std::io::IsTerminal;

use tokio::signal;
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::{Bus, NamedService, Result, Server};

/// Serves one service until the process is told to stop: SIGTERM or Ctrl-C. A second signal stops at
/// once.
///
/// The bus comes from the environment (see [`Bus::from_env`]), the log goes to standard error at the
/// level of `RUST_LOG` (`info` if unset). For more services, layers or limits use [`Server::builder`],
/// with [`init_logs`] and [`shutdown_signal`].
///
/// # Errors
/// As [`Bus::from_env`] and [`ServerBuilder::serve`](crate::ServerBuilder::serve).
pub async fn run(server: impl NamedService) -> Result<()> {
    init_logs();
    let bus = Bus::from_env().await?;
    Server::builder(&bus).add(server).serve(shutdown_signal()).await?;
    bus.close().await
}

/// Logs to standard error, at the level of `RUST_LOG`. Does nothing if the program logs already.
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Standard output belongs to the program.
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

/// Resolves at SIGTERM or Ctrl-C. From then on a second one ends the process at once.
pub async fn shutdown_signal() {
    first_signal().await;
    tracing::info!("stopping: finishing the calls in flight; a second signal stops at once");
    // Nobody owns this task: it ends with the process, which is what it is for.
    tokio::spawn(async {
        first_signal().await;
        std::process::exit(130);
    });
}

async fn first_signal() {
    let interrupt = async {
        if signal::ctrl_c().await.is_err() {
            // No handler can be installed here, so this signal can never come.
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) else {
            return interrupt.await;
        };
        tokio::select! {
            () = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    interrupt.await;
}
