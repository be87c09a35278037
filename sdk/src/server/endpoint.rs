//! [`Endpoint`]: one method of one service on the bus.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::JoinSet,
    time::Instant,
};

use super::{QUEUE_GROUP, serving::Serving};
use crate::{
    Channel, Method, Result, ServiceInfo,
    bus::Bus,
    rpc::inbox::{BEAT_TOKEN, CANCEL_TOKEN},
    wire::{call_id::CallId, frame::Accept, subject::Subject},
};

/// The token before the names of instances. No method is called that.
const INSTANCE_TOKEN: &str = "_i";

/// One method of one service on the bus.
pub(super) struct Endpoint {
    pub(super) method: &'static Method,
    pub(super) channel: Channel,
    subject: Subject,
    /// `svc.<domain>.<name>.v<N>._i.<instance>`, where this instance is spoken to.
    instance: Arc<str>,
    pub(super) pace: Pace,
}

/// Whether the handlers of a method compute for long without ever yielding.
///
/// They should not: on tokio that stops whatever else the thread would do, and on a small machine
/// that may be to read the socket. Where they do, the thread is told beforehand, which costs some
/// microseconds a call.
#[derive(Default)]
pub(super) struct Pace {
    /// Grows with each call that computes for long, shrinks with each that does not.
    suspicion: AtomicU32,
}

/// Longer than this without yielding is long.
const LONG_POLL: Duration = Duration::from_millis(10);

/// What one long call adds. A single one is no proof, for the machine may have been busy elsewhere:
/// two within so many calls are.
const LONG_CALL_SUSPICION: u32 = 64;

/// As far as suspicion goes.
const SUSPICION_MAX: u32 = 256;

impl Pace {
    /// Whether to be careful.
    pub(super) fn is_slow(&self) -> bool {
        self.suspicion.load(Ordering::Relaxed) > LONG_CALL_SUSPICION
    }

    /// Runs the first step of a handler.
    pub(super) async fn first_step<T>(&self, step: impl FnOnce(&mut TaskContext<'_>) -> T) -> T {
        let careful = self.is_slow() && can_block_in_place();
        let mut step = Some(step);
        poll_fn(|cx| match (step.take(), careful) {
            (Some(step), true) => Poll::Ready(tokio::task::block_in_place(|| step(cx))),
            (Some(step), false) => Poll::Ready(step(cx)),
            (None, _) => Poll::Pending,
        })
        .await
    }

    /// Notes what the first step took.
    pub(super) fn took(&self, time: Duration) {
        let suspicion = self.suspicion.load(Ordering::Relaxed);
        if time >= LONG_POLL {
            self.suspicion.store((suspicion + LONG_CALL_SUSPICION).min(SUSPICION_MAX), Ordering::Relaxed);
        } else if suspicion > 0 {
            self.suspicion.store(suspicion - 1, Ordering::Relaxed);
        }
    }
}

fn can_block_in_place() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread
}

/// The methods of one service, and what they share.
pub(super) struct Endpoints {
    methods: Vec<Arc<Endpoint>>,
    service: String,
    instance: Arc<str>,
}

impl Endpoint {
    pub(super) fn of_service(
        info: &'static ServiceInfo,
        channel: Channel,
        namespace: Option<&str>,
        instance: &str,
    ) -> Result<Endpoints> {
        let prefix = namespace.map(|namespace| format!("{namespace}.")).unwrap_or_default();
        let service = format!("{prefix}{}", info.subject);
        let instance: Arc<str> = format!("{service}.{INSTANCE_TOKEN}.{instance}").into();
        let endpoint = |method: &&'static Method| {
            let subject = Subject::new(format!("{prefix}{}", method.subject))?;
            Ok(Arc::new(Self {
                method,
                channel: channel.clone(),
                subject,
                instance: instance.clone(),
                pace: Pace::default(),
            }))
        };
        let methods = info.methods.iter().map(endpoint).collect::<Result<_>>()?;
        Ok(Endpoints { methods, service, instance })
    }

    /// What tells the caller of `call` whom to speak to.
    pub(super) fn accept(&self, call: CallId) -> Accept {
        Accept {
            subject: format!("{}.{call}", self.instance),
            beat: format!("{}.{BEAT_TOKEN}", self.instance),
            call: call.to_string(),
        }
    }
}

impl Endpoints {
    /// Subscribes, and starts to take in what comes: new calls in `readers`, the rest in `tasks`.
    pub(super) async fn listen(
        self,
        bus: &Bus,
        serving: &Arc<Serving>,
        readers: &mut JoinSet<()>,
        tasks: &mut JoinSet<()>,
    ) -> Result<()> {
        // First what calls need once they run, then what lets them in.
        let mut controls = bus.listen(Subject::pattern(format!("{}.>", self.instance))?, None).await?;
        let mut cancels = bus.listen(Subject::new(format!("{}.{CANCEL_TOKEN}", self.service))?, None).await?;
        let (to_controls, to_cancels) = (serving.clone(), serving.clone());
        let instance = self.instance.clone();
        tasks.spawn(async move {
            while let Some(message) = controls.next().await {
                to_controls.control(&instance, message);
            }
        });
        tasks.spawn(async move {
            while let Some(message) = cancels.next().await {
                to_cancels.cancel(&message);
            }
        });
        for endpoint in self.methods {
            let mut requests = bus.listen(endpoint.subject.clone(), Some(QUEUE_GROUP)).await?;
            let serving = serving.clone();
            readers.spawn(async move {
                let drain = serving.draining();
                let mut drain = std::pin::pin!(drain.cancelled());
                let mut draining = false;
                loop {
                    let message = tokio::select! {
                        biased;
                        () = &mut drain, if !draining => {
                            draining = true;
                            requests.drain();
                            continue;
                        }
                        message = requests.next() => message,
                    };
                    let Some(message) = message else { break };
                    // What else is here has come with it, and costs no look at anything but the queue.
                    let arrived = Instant::now();
                    serving.take(&endpoint, message, arrived);
                    while let Some(message) = requests.try_next() {
                        serving.take(&endpoint, message, arrived);
                    }
                }
            });
        }
        Ok(())
    }
}
