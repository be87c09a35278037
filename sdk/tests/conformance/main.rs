//! One suite, three transports: a server in this process, the in-memory bus, and a real nats-server.
//!
//! A case that behaves differently on one of them is a bug.

#![allow(clippy::panic, reason = "a handler that panics is one of the cases")]

mod calls;
mod deadlines;
mod echo;
mod fixture;
mod gateway;
mod large;
mod serving;
mod statuses;
mod streams;

/// Runs each case on each transport, as a test of its own.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(&crate::fixture::in_process()).await;
            })+
        }
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(&crate::fixture::memory().await).await;
            })+
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(&crate::fixture::nats().await).await;
            })+
        }
    };
}
pub(crate) use cases;
