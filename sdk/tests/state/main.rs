//! Key-value buckets and object stores: one suite over the in-memory bus and a real nats-server, and
//! what other clients of NATS make of them.

#![allow(clippy::panic, reason = "a case that waits in vain says for what")]

mod buckets;
mod fixture;
mod interop_kv;
mod interop_object;
mod keys;
mod large;
mod object_changes;
mod object_faults;
mod objects;
mod reconnect;
mod revisions;
mod ttl;
mod values;
mod watch;

/// Runs each case on each bus, as a test of its own.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() -> subwire::Result<()> {
                super::$case(&subwire::Bus::memory()).await
            })+
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() -> subwire::Result<()> {
                let nats = crate::fixture::nats().await;
                super::$case(&nats.bus).await
            })+
        }
    };
}
pub(crate) use cases;
