//! The archive on a real PostgreSQL. What reads from a stream runs on the in-memory bus and on a real
//! nats-server: a case that behaves differently on one of them is a bug.

mod fixture;
mod migrations;
mod note;
mod outages;
mod queries;
mod secrets;
mod storing;
mod tls;

/// Runs each case on each bus, as a test of its own.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::fixture::memory().await).await;
            })+
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::fixture::nats().await).await;
            })+
        }
    };
}
pub(crate) use cases;
