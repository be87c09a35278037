//! [`Core`]: what all parts of a running worker share, and what becomes of a message.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    delivery::{Delivery, Life},
    effects::Once,
    handler::{Handler, Keys, no_handler},
    in_hand::InHand,
    job::{Job, Work, panicked},
    lanes::Lanes,
    metrics::Metrics,
    monitor::{Board, WorkerMonitor},
    outcome::{Reason, Verdict},
    pace::Pace,
    retry::Retry,
};
use crate::{
    Code, ConsumerSpec, Result, Status,
    backoff::Backoff,
    dead_letters::{Burial, DeadLetter},
    jetstream::{Ack, Delivered, Done, JetStream},
};

/// Waits between attempts to set a message aside.
const BURY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// How soon somebody else may have what a worker hands back when it stops. Not at once: its own pull may
/// still be open for a moment.
pub(super) const HAND_BACK: Duration = Duration::from_millis(100);

/// Why a message is set aside that came another way. Were it tried again, it would end the connection again.
const UNREADABLE: &str = "its headers or its subject are not legal: clients of the broker cannot read it";

/// How often a message that is set aside is taken out of its consumer; after that it comes again, and the
/// letter that is there already is found.
const TERM_ATTEMPTS: usize = 3;

/// What all parts of a running worker share.
pub(super) struct Core {
    pub(super) streams: JetStream,
    /// As the broker has it.
    pub(super) consumer: ConsumerSpec,
    pub(super) handler: Handler,
    pub(super) keys: Keys,
    pub(super) effects: Option<Once>,
    pub(super) retry: Retry,
    pub(super) burial: Burial,
    pub(super) in_hand: Arc<InHand>,
    pub(super) lanes: Option<Lanes>,
    pub(super) life: Arc<Life>,
    /// Nothing more is begun.
    pub(super) draining: CancellationToken,
    /// Nothing more comes: what is handed back goes to others.
    pub(super) closed: CancellationToken,
    pub(super) places: Arc<Semaphore>,
    pub(super) pace: Pace,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Metrics,
}

/// What a message has become when it has arrived.
pub(super) enum Arrived {
    /// To be worked on.
    Job(Job),
    /// To be set aside.
    Dead(Delivery, Reason),
    /// It is in hand already.
    Known,
}

impl Core {
    /// Makes a job of a message.
    pub(super) fn arrived(&self, delivered: Delivered) -> Arrived {
        if self.in_hand.has(&delivered) {
            self.board.double();
            return Arrived::Known;
        }
        let delivery = self.delivery(delivered);
        if let Some(attempts) = self.life.attempts.filter(|attempts| delivery.attempt() > *attempts) {
            // The last attempt did not come to its end: its process died, or was told to stop.
            let text = format!("the last of {attempts} attempts did not come to its end");
            return Arrived::Dead(delivery, Reason::new(Code::Aborted, text));
        }
        if !delivery.delivered().is_readable {
            return Arrived::Dead(delivery, Reason::new(Code::DataLoss, UNREADABLE));
        }
        // What decodes a message, and what gives it its key, may panic as its handler may.
        let prepare = AssertUnwindSafe(|| self.handler.0.prepare(&delivery, &self.keys));
        let prepared = match catch_unwind(prepare).unwrap_or_else(|panic| Some(Err(panicked(&*panic)))) {
            Some(Ok(prepared)) => prepared,
            Some(Err(reason)) => return Arrived::Dead(delivery, reason),
            None => {
                let reason = no_handler(&delivery);
                return Arrived::Dead(delivery, reason);
            }
        };
        let work = match &self.effects {
            None => prepared.work,
            Some(once) => once.wrap(&delivery, prepared.work),
        };
        Arrived::Job(Job { delivery, key: prepared.key, work: Work(work), permit: None, held: None })
    }

    /// Works on a message to its end, whatever that is.
    pub(super) async fn work(self: Arc<Self>, mut job: Job, started: Instant) {
        let mut first = Some(Instant::now());
        let work = poll_fn(|cx| {
            let polled = Pin::new(&mut job.work).poll(cx);
            if let Some(first) = first.take() {
                self.pace.stepped(first.elapsed());
            }
            polled
        });
        let verdict = self.life.abort.run_until_cancelled(work).await;
        self.finish(job, verdict.unwrap_or(Verdict::CutOff), started).await;
    }

    /// Sees to it that a message is done, comes again or is set aside.
    pub(super) async fn finish(&self, job: Job, verdict: Verdict, started: Instant) {
        self.note(&verdict, started.elapsed());
        // What it would have done is dropped here, and need not be shared between threads.
        let Job { delivery, key, mut permit, held, .. } = job;
        let comes_again = self.settle(&delivery, verdict, &mut permit).await;
        self.over(key, &delivery, comes_again);
        drop(held);
    }

    /// Notes that a message is done. It comes again unless `done` is said.
    pub(super) fn done(&self, job: &Job, verdict: &Verdict, took: Duration, done: &mut Done) {
        self.note(verdict, took);
        // What was never in hand cannot have come again.
        let again = job.held.as_ref().and_then(|_| job.delivery.end());
        done.add(again.as_deref().unwrap_or(job.delivery.delivered()));
        self.over(job.key, &job.delivery, None);
    }

    fn note(&self, verdict: &Verdict, took: Duration) {
        self.pace.ended(took);
        self.metrics.processed(took, verdict);
        self.board.count(verdict);
    }

    fn over(&self, key: Option<u64>, delivery: &Delivery, comes_again: Option<Duration>) {
        if let Some(lanes) = &self.lanes {
            if let Some(after) = comes_again {
                lanes.comes_again(key, delivery.place(), after);
            }
            lanes.over(key);
        }
    }

    /// Tells the broker. Says after which time the message comes again, if it does.
    async fn settle(
        &self,
        delivery: &Delivery,
        verdict: Verdict,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Option<Duration> {
        match verdict {
            Verdict::Done | Verdict::Repeated => {
                self.ack(delivery, Ack::Done).await;
                None
            }
            Verdict::CutOff => Some(self.hand_back(delivery).await),
            Verdict::DeadLetter(reason) => self.bury(delivery, &reason, permit).await,
            Verdict::Retry(_, reason) | Verdict::Panicked(reason) if delivery.is_last_attempt() => {
                self.bury(delivery, &reason, permit).await
            }
            Verdict::Retry(asked, reason) => Some(self.try_again(delivery, asked, &reason).await),
            Verdict::Panicked(reason) => Some(self.try_again(delivery, None, &reason).await),
        }
    }

    async fn try_again(&self, delivery: &Delivery, asked: Option<Duration>, reason: &Reason) -> Duration {
        let after = self.retry.delay(delivery.attempt(), asked);
        tracing::debug!(?delivery, code = %reason.code, reason = reason.text, ?after, "a message is tried again");
        self.ack(delivery, Ack::Retry(after)).await;
        after
    }

    /// Gives a message that was not begun, or was cut off, to whoever asks next.
    pub(super) async fn hand_back(&self, delivery: &Delivery) -> Duration {
        self.ack(delivery, Ack::Retry(HAND_BACK)).await;
        HAND_BACK
    }

    /// Gives back a message for which there is no room.
    pub(super) async fn no_room(self: Arc<Self>, job: Job, after: Duration) {
        let Job { delivery, held, .. } = job;
        self.ack(&delivery, Ack::Retry(after)).await;
        drop(held);
    }

    /// Sets a message aside. As long as that fails it stays in hand; its place is given to another.
    async fn bury(
        &self,
        delivery: &Delivery,
        reason: &Reason,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Option<Duration> {
        let letter = DeadLetter::new(delivery.delivered(), reason, self.board.now());
        for attempt in 1.. {
            let Err(status) = self.burial.bury(&letter).await else { break };
            tracing::error!(?delivery, %status, attempt, "a message cannot be set aside, and is kept");
            self.board.burial_failed();
            drop(permit.take());
            let pause = sleep(BURY.ceiling(attempt));
            if self.closed.run_until_cancelled(pause).await.is_none() {
                return Some(self.hand_back(delivery).await);
            }
        }
        tracing::warn!(?delivery, code = %reason.code, reason = reason.text, "a message was set aside");
        self.board.dead_letter();
        for _ in 0..TERM_ATTEMPTS {
            match self.confirm(delivery, Ack::Term(term(reason))).await {
                Ok(()) => break,
                Err(status) => tracing::debug!(?delivery, %status, "a message that was set aside is still out"),
            }
        }
        None
    }

    async fn confirm(&self, delivery: &Delivery, ack: Ack) -> Result<()> {
        let again = delivery.end();
        self.streams.ack_confirmed(again.as_deref().unwrap_or(delivery.delivered()), ack).await
    }

    async fn ack(&self, delivery: &Delivery, ack: Ack) {
        let again = match ack {
            Ack::Retry(_) => delivery.give_back(),
            _ => delivery.end(),
        };
        let delivered = again.as_deref().unwrap_or(delivery.delivered());
        if let Err(status) = self.streams.ack(delivered, ack).await {
            unsaid(delivery, &status);
        }
    }

    pub(super) fn delivery(&self, delivered: Delivered) -> Delivery {
        Delivery::new(delivered, &self.life)
    }

    /// Tells whoever collects metrics how it is going.
    pub(super) async fn report(&self, with_lag: bool) {
        let monitor = self.monitor();
        let lag = match with_lag {
            true => monitor.lag().await.ok(),
            false => None,
        };
        self.metrics.report(monitor.counts(), self.in_hand.count(), lag);
    }

    pub(super) fn monitor(&self) -> WorkerMonitor {
        let (streams, consumer) = (self.streams.clone(), self.consumer.clone());
        WorkerMonitor::new(streams, consumer, self.board.clone())
    }

    /// Says of everything in hand that it is being worked on.
    pub(super) async fn speak_for_all(&self) {
        for delivery in self.in_hand.all() {
            let sending = delivery.while_in_hand(|delivered| self.streams.ack(delivered, Ack::Progress));
            if let Some(sending) = sending
                && let Err(status) = sending.await
            {
                unsaid(&delivery, &status);
            }
        }
    }
}

/// It comes again after its wait.
fn unsaid(delivery: &Delivery, status: &Status) {
    tracing::debug!(?delivery, %status, "the broker could not be told what became of a message");
}

/// What the broker's own events say of a message that was set aside: one short line.
fn term(reason: &Reason) -> String {
    format!("dead letter: {}", reason.code)
}
