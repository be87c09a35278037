//! What a stream is held to, on the in-memory bus and on a nats-server: one suite, run on both.

/// Makes two tests of each function: on the in-memory bus with paused time, and on a nats-server.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::$name(crate::jetstream::suite::fixture::Fixture::memory()).await;
                }
            )+
        }

        #[cfg(feature = "testing")]
        mod nats {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(crate::jetstream::suite::fixture::Fixture::nats().await).await;
                }
            )+
        }
    };
}

mod batch;
mod consumers;
mod core;
mod dedup;
mod expected;
mod fixture;
mod kv_headers;
mod limits;
mod purge;
#[cfg(feature = "testing")]
mod random;
mod redelivery;
mod republish;
mod retention;
mod streams;
