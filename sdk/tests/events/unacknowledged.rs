//! Acknowledgements that are lost with their connection: what may be stored is never said not to be.

use std::pin::pin;

use subwire::{Code, Events, Executed, PublishAck, Result, Streams, bus::Faults};

use crate::*;

/// Publishes over a connection that breaks when the stream has what was sent, and before it is heard. `mends`:
/// there is another one then.
async fn cut_off(mends: bool, publish: impl AsyncFn(Events) -> Result<PublishAck>) -> (Result<PublishAck>, u64) {
    let broker = Broker::nats().await;
    let streams = Streams::new(&broker.bus);
    streams.apply(specs()).await.expect("applied");
    let (bus, link) = Faults::seeded(1).wrap(&broker.bus);
    let stored = async || streams.info("TESTING").await.expect("info").messages;
    link.deafen();
    let mut answer = pin!(publish(Events::new(&bus)));
    let breaks = async {
        while stored().await == 0 {
            tokio::task::yield_now().await;
        }
        link.disconnect();
        if mends {
            link.heal();
            link.reconnect();
        }
        std::future::pending().await
    };
    let answer = within("an answer", async {
        tokio::select! {
            answer = &mut answer => answer,
            answer = breaks => answer,
        }
    });
    (answer.await, stored().await)
}

/// Until after the connection is gone, and another attempt has found none.
const TIMEOUT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_attempt_that_was_never_sent_does_not_deny_the_one_before() {
    let (answer, stored) = cut_off(false, async |events| events.publish(&reading(1)).timeout(TIMEOUT).await).await;
    let status = answer.expect_err("not heard");
    assert_eq!((status.code(), status.executed(), stored), (Code::Unavailable, Executed::Maybe, 1), "{status:?}");
}

#[tokio::test]
async fn what_has_no_id_is_not_sent_again() {
    let note = Note { author: "me".to_owned(), text: "once".to_owned() };
    let (answer, stored) = cut_off(true, async |events| events.publish(&note).await).await;
    let status = answer.expect_err("not heard");
    assert_eq!((status.code(), status.executed(), stored), (Code::Unavailable, Executed::Maybe, 1), "{status:?}");
}

#[tokio::test]
async fn what_has_an_id_is_sent_again_and_stored_once() {
    let (answer, stored) = cut_off(true, async |events| events.publish(&reading(1)).await).await;
    let ack = answer.expect("heard at last");
    assert_eq!((ack.sequence, ack.duplicate, stored), (1, true, 1));
}
