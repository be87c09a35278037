//! The service under test: it does as it is told, and remembers what happened to it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use schemas::testing::echo::v1::*;
use subwire::{Code, Context, Result, Status, Streaming};
use tokio::{sync::watch, time::timeout};

/// What the handlers have seen.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) started: Counter,
    pub(crate) running: Counter,
    pub(crate) cancelled: Counter,
    /// Messages a streaming handler has got rid of.
    pub(crate) produced: Counter,
}

/// A number that can be waited for.
#[derive(Debug, Default)]
pub(crate) struct Counter(watch::Sender<usize>);

impl Counter {
    fn increase(&self) {
        self.0.send_modify(|number| *number += 1);
    }

    fn decrease(&self) {
        self.0.send_modify(|number| *number -= 1);
    }

    pub(crate) fn get(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until it is what `is_so` wants, for as long as it takes.
    pub(crate) async fn until(&self, is_so: impl FnMut(&usize) -> bool) {
        self.0.subscribe().wait_for(is_so).await.expect("it is still counted");
    }

    /// Fails the test if it does not become `number` soon: for things that happen a moment later.
    pub(crate) async fn becomes(&self, number: usize, promise: &str) {
        let waited = timeout(Duration::from_secs(10), self.until(|now| *now == number)).await;
        assert!(waited.is_ok(), "within 10 s: {promise}");
    }
}

#[derive(Debug, Default)]
pub(crate) struct Echo {
    pub(crate) watch: Arc<Watch>,
    pub(crate) instance: String,
}

/// Counts a handler that runs, for as long as it does.
struct Alive(Arc<Watch>);

impl Alive {
    fn new(watch: &Arc<Watch>) -> Self {
        watch.started.increase();
        watch.running.increase();
        Self(watch.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.running.decrease();
    }
}

/// Work that was moved out of the handler learns of its end through the context.
fn watch_cancellation(cx: &Context, watch: &Arc<Watch>) {
    let (cx, watch) = (cx.clone(), watch.clone());
    tokio::spawn(async move {
        cx.cancelled().await;
        watch.cancelled.increase();
    });
}

fn failure(code: i32, text: &str) -> Status {
    let mut status = Status::new(Code::from_number(code), text)
        .with_error_info("TOLD_TO", "echo", [("code", code.to_string())])
        .with_field_violation("fail_with", "is not 0");
    status.metadata_mut().append("cause", "told to \u{1f980}").expect("legal");
    status
}

impl EchoService for Echo {
    async fn echo(&self, cx: Context, request: EchoRequest) -> Result<EchoResponse> {
        let _alive = Alive::new(&self.watch);
        watch_cancellation(&cx, &self.watch);
        if let Some(tenant) = cx.metadata().get("tenant") {
            cx.append_metadata("seen-tenant", tenant)?;
            cx.append_trailer("cost", "3 %")?;
        }
        if request.panic {
            panic!("told to");
        }
        if request.block_ms > 0 {
            std::thread::sleep(Duration::from_millis(request.block_ms.into()));
        }
        if request.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(request.delay_ms.into())).await;
        }
        if request.hang {
            std::future::pending::<()>().await;
        }
        if request.fail_with != 0 {
            return Err(failure(request.fail_with, &request.text));
        }
        let payload = match request.payload_bytes {
            0 => request.payload,
            size => Bytes::from(vec![7; size as usize]),
        };
        let remaining_ms = cx.remaining().map_or(0, |remaining| remaining.as_millis() as u64);
        Ok(EchoResponse { text: request.text, payload, remaining_ms, instance: self.instance.clone() })
    }

    async fn echo_soon(&self, _: Context, request: EchoSoonRequest) -> Result<EchoSoonResponse> {
        let _alive = Alive::new(&self.watch);
        if request.hang {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(request.delay_ms.into())).await;
        Ok(EchoSoonResponse {})
    }

    async fn count(&self, cx: Context, request: CountRequest) -> Result<Streaming<CountResponse>> {
        let alive = Alive::new(&self.watch);
        watch_cancellation(&cx, &self.watch);
        if request.messages == 0 && request.fail_with != 0 {
            return Err(failure(request.fail_with, "at once"));
        }
        cx.append_metadata("counting", "up")?;
        let watch = self.watch.clone();
        Ok(Streaming::produce(async move |numbers| {
            let _alive = alive;
            let payload = Bytes::from(vec![7; request.payload_bytes as usize]);
            for n in 0..request.messages {
                if request.delay_ms > 0 {
                    tokio::time::sleep(Duration::from_millis(request.delay_ms.into())).await;
                }
                numbers.send(CountResponse { n, payload: payload.clone() }).await?;
                watch.produced.increase();
            }
            if request.panic {
                panic!("told to");
            }
            if request.hang {
                std::future::pending::<()>().await;
            }
            cx.append_trailer("counted", request.messages.to_string())?;
            match request.fail_with {
                0 => Ok(()),
                code => Err(failure(code, "after the last")),
            }
        }))
    }

    async fn sum(&self, cx: Context, mut requests: Streaming<SumRequest>) -> Result<SumResponse> {
        let _alive = Alive::new(&self.watch);
        watch_cancellation(&cx, &self.watch);
        let mut response = SumResponse::default();
        while let Some(request) = requests.message().await? {
            response.sum = response.sum.wrapping_add(request.n);
            response.messages += 1;
            response.payload_bytes += request.payload.len() as u64;
        }
        cx.append_trailer("summed", response.messages.to_string())?;
        Ok(response)
    }

    async fn talk(&self, cx: Context, mut requests: Streaming<TalkRequest>) -> Result<Streaming<TalkResponse>> {
        let alive = Alive::new(&self.watch);
        watch_cancellation(&cx, &self.watch);
        Ok(Streaming::produce(async move |answers| {
            let _alive = alive;
            while let Some(request) = requests.message().await? {
                if request.fail_with != 0 {
                    return Err(failure(request.fail_with, &request.text));
                }
                answers.send(TalkResponse { text: request.text }).await?;
            }
            Ok(())
        }))
    }
}
