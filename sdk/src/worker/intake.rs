//! [`Intake`]: how a worker takes messages, begins them, and stops.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::{Duration, Instant},
};

use tokio::{
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{MissedTickBehavior, interval_at, timeout, timeout_at},
};

use super::{
    Delivery,
    core::{Arrived, Core},
    job::{Job, Work},
    lanes::Admitted,
    monitor::WorkerState,
    outcome::{Reason, Verdict},
    retry::beat,
};
use crate::{
    Code, Result, Status,
    jetstream::{Action, Delivered, Deliveries, Done, Pull},
    layer::deadline,
    limits,
};

/// Messages that are taken before anything else is looked at.
const BURST: usize = 64;

/// After this time a burst ends: what is done is said before its wait is over.
const BURST_TIME: Duration = Duration::from_millis(1);

/// How long what is on its way may take to arrive when a worker stops.
const LAST_ARRIVALS: Duration = Duration::from_secs(2);

/// How long handlers may take to end that are told to.
const LAST_ENDS: Duration = Duration::from_secs(2);

/// How a worker takes messages, begins them, and stops.
pub(super) struct Intake {
    pub(super) core: Arc<Core>,
    /// Messages that are taken ahead of a quick handler, and as many as are handled at one time.
    pub(super) prefetch: usize,
    concurrency: usize,
    pub(super) grace: Duration,
    /// Whether a consumer that is gone is made again.
    pub(super) recreate: bool,
    /// The place of the next message.
    permit: Option<OwnedSemaphorePermit>,
    /// Messages that did not end at once.
    tasks: JoinSet<()>,
    last_reopened: Option<tokio::time::Instant>,
    /// When a message last ended where it was taken.
    last_end: Instant,
    /// What ended there and is not said yet.
    done: Done,
}

impl Intake {
    pub(super) fn new(core: Arc<Core>, prefetch: usize, grace: Duration, recreate: bool) -> Self {
        let concurrency = core.places.available_permits();
        let tasks = JoinSet::new();
        Self {
            core,
            prefetch,
            concurrency,
            grace,
            recreate,
            permit: None,
            tasks,
            last_reopened: None,
            last_end: Instant::now(),
            done: Done::default(),
        }
    }

    /// Messages that are taken ahead of a slow handler.
    fn ahead(&self) -> usize {
        self.concurrency.min(self.prefetch)
    }

    /// Begins to read the consumer.
    pub(super) async fn open(&self) -> Result<Deliveries> {
        let consumer = &self.core.consumer;
        let pull = Pull { messages: self.ahead(), bytes: limits::PULL_BYTES };
        self.core.streams.pull(&consumer.stream, &consumer.name, pull).await
    }

    /// Takes messages until it is told to stop, or cannot go on.
    pub(super) async fn run(mut self, mut deliveries: Deliveries) -> Result<()> {
        // Said also when this is dropped.
        let _stopped = Stopped(self.core.clone());
        let mut helpers = JoinSet::new();
        helpers.spawn(speak(self.core.clone()));
        helpers.spawn(report(self.core.clone()));
        self.core.board.set(WorkerState::Working);
        let ended = loop {
            let Err(status) = self.take(&mut deliveries).await else {
                break Ok(Some(deliveries));
            };
            if !(self.recreate && self.may_pass(&status)) {
                break Err(status);
            }
            match self.reopen(status).await {
                Some(Ok(again)) => deliveries = again,
                Some(Err(status)) => break Err(status),
                None => break Ok(None),
            }
        };
        self.core.board.set(WorkerState::Stopping);
        self.core.draining.cancel();
        let (deliveries, ended) = match ended {
            Ok(deliveries) => (deliveries, Ok(())),
            Err(status) => (None, Err(status)),
        };
        self.drain(deliveries).await;
        helpers.shutdown().await;
        ended
    }

    /// Takes messages; `Ok` when it is told to stop.
    async fn take(&mut self, deliveries: &mut Deliveries) -> Result<()> {
        let core = self.core.clone();
        let mut draining = pin!(core.draining.cancelled());
        let mut beats = ticks(beat(&core.consumer));
        let mut was_quick = false;
        loop {
            // A slow handler has no use for more, and another instance might.
            let is_quick = core.pace.is_done_at_once();
            if is_quick != std::mem::replace(&mut was_quick, is_quick) {
                deliveries.ask(if is_quick { self.prefetch } else { self.ahead() });
            }
            let room = core.in_hand.is_below(limits::WORKER_BYTES);
            let taken = tokio::select! {
                biased;
                () = &mut draining => return Ok(()),
                _ = beats.tick() => {
                    deliveries.progress();
                    while self.tasks.try_join_next().is_some() {}
                    Ok(())
                }
                // Lazily: a place that is held need not be asked for.
                permit = async { core.places.clone().acquire_owned().await }, if self.permit.is_none() => {
                    self.permit = permit.ok();
                    Ok(())
                }
                job = turn(&core), if self.permit.is_some() => {
                    self.begin_here(&core, job).await;
                    Ok(())
                }
                () = core.in_hand.below(limits::WORKER_BYTES), if !room => Ok(()),
                taken = poll_fn(|cx| self.burst(&core, deliveries, cx)), if room && self.permit.is_some() => taken,
            };
            core.streams.say_done(&mut self.done).await;
            taken?;
        }
    }

    /// Takes what is here, one message after another. Returns when there is something else to look at.
    fn burst(&mut self, core: &Arc<Core>, deliveries: &mut Deliveries, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        let (mut begun, mut now) = (None, None);
        for taken in 0..BURST {
            if self.permit.is_none() || !core.in_hand.is_below(limits::WORKER_BYTES) {
                break;
            }
            let next = match deliveries.poll_next(cx) {
                Poll::Ready(next) => next,
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Pending => break,
            };
            let delivered = next.unwrap_or_else(|| Err(Status::unavailable("the consumer hands out no more")))?;
            // A look at the clock for each: where one ends the next begins.
            let started = now.unwrap_or_else(Instant::now);
            let begun = *begun.get_or_insert(started);
            self.take_in(core, delivered, started, cx);
            now = Some(self.last_end.max(started));
            if self.last_end.saturating_duration_since(begun) >= BURST_TIME {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Begins what has arrived, if it is its turn.
    fn take_in(&mut self, core: &Arc<Core>, delivered: Delivered, started: Instant, cx: &mut TaskContext<'_>) {
        match core.arrived(delivered) {
            Arrived::Job(job) => {
                if let Some(job) = self.admit(core, job) {
                    self.begin(core, job, started, cx);
                }
            }
            Arrived::Dead(delivery, reason) => self.set_aside(delivery, reason),
            Arrived::Known => {}
        }
    }

    /// A message whose turn it is.
    fn admit(&mut self, core: &Arc<Core>, mut job: Job) -> Option<Job> {
        let Some(lanes) = &core.lanes else { return Some(job) };
        job.held.get_or_insert_with(|| core.in_hand.hold(&job.delivery));
        match lanes.admit(job) {
            Admitted::Now(job) => Some(job),
            Admitted::Later => None,
            Admitted::Full(job) => {
                let after = core.retry.delay(job.delivery.attempt(), None);
                // First this, so that those behind it do not overtake it.
                lanes.comes_again(job.key, job.delivery.place(), after);
                self.tasks.spawn(core.clone().no_room(job, after));
                None
            }
        }
    }

    /// Runs a message as far as it goes at once; what has to wait gets a task.
    fn begin(&mut self, core: &Arc<Core>, mut job: Job, started: Instant, cx: &mut TaskContext<'_>) {
        if !core.pace.is_quick() {
            return self.spawn(job, started);
        }
        let first = Pin::new(&mut job.work).poll(cx);
        self.last_end = Instant::now();
        let took = self.last_end - started;
        core.pace.stepped(took);
        match first {
            Poll::Ready(verdict @ (Verdict::Done | Verdict::Repeated)) => {
                core.done(&job, &verdict, took, &mut self.done)
            }
            Poll::Ready(verdict) => self.finish(job, verdict, started),
            Poll::Pending => self.spawn(job, started),
        }
    }

    /// The same from where nothing is polled.
    async fn begin_here(&mut self, core: &Arc<Core>, job: Job) {
        let mut job = Some(job);
        poll_fn(|cx| {
            job.take().into_iter().for_each(|job| self.begin(core, job, Instant::now(), cx));
            Poll::Ready(())
        })
        .await;
    }

    fn spawn(&mut self, mut job: Job, started: Instant) {
        self.keep(&mut job);
        self.tasks.spawn(self.core.clone().work(job, started));
    }

    fn finish(&mut self, mut job: Job, verdict: Verdict, started: Instant) {
        self.keep(&mut job);
        let core = self.core.clone();
        self.tasks.spawn(async move { core.finish(job, verdict, started).await });
    }

    fn set_aside(&mut self, delivery: Delivery, reason: Reason) {
        let work = Work(Box::pin(std::future::pending()));
        let job = Job { delivery, key: None, work, permit: None, held: None };
        self.finish(job, Verdict::DeadLetter(reason), Instant::now());
    }

    /// A message that is not over yet takes its place with it.
    fn keep(&mut self, job: &mut Job) {
        job.permit = self.permit.take();
        job.held.get_or_insert_with(|| self.core.in_hand.hold(&job.delivery));
        while self.tasks.try_join_next().is_some() {}
    }

    /// Reads again what was gone, or makes it again; `None` when it is told to stop.
    async fn reopen(&mut self, mut status: Status) -> Option<Result<Deliveries>> {
        let core = self.core.clone();
        loop {
            tracing::warn!(consumer = %core.consumer.name, stream = %core.consumer.stream, %status, "a consumer is gone: making it again");
            core.board.set(WorkerState::Waiting(status));
            // At most one attempt a second, also when the new one goes at once.
            let due = self.last_reopened.map(|last| last + limits::REOPEN);
            let wait = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now));
            core.draining.run_until_cancelled(wait).await?;
            self.last_reopened = Some(tokio::time::Instant::now());
            match core.draining.run_until_cancelled(self.make()).await? {
                Err(failed) if self.may_pass(&failed) => status = failed,
                made => {
                    core.board.set(WorkerState::Working);
                    return Some(made);
                }
            }
        }
    }

    async fn make(&self) -> Result<Deliveries> {
        match self.core.streams.put_consumer(&self.core.consumer, Action::Create).await {
            // Changed by somebody, and there.
            Err(status) if status.code() == Code::AlreadyExists => {}
            made => drop(made?),
        }
        self.open().await
    }

    /// Whether it makes sense to try again.
    fn may_pass(&self, status: &Status) -> bool {
        matches!(status.code(), Code::NotFound | Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted)
            && self.core.streams.bus().link().borrow().closed.is_none()
    }

    /// Stops: what has not begun is handed back, what has begun may end, and is cut off when its time is up.
    async fn drain(&mut self, deliveries: Option<Deliveries>) {
        let core = self.core.clone();
        let end = deadline::after(self.grace);
        let mut last = Vec::new();
        let rest = self.rest(deliveries).await;
        core.closed.cancel();
        for job in rest.into_iter().chain(core.lanes.iter().flat_map(|lanes| lanes.clear())) {
            match job.delivery.is_last_attempt() {
                // Handed back it would have no attempt left, and never be tried.
                true => last.push(job),
                false => self.hand_back(job).await,
            }
        }
        core.lanes.iter().for_each(|lanes| lanes.give_up());
        let cut_off = match end {
            Some(end) => timeout_at(end, self.end(last)).await.is_err(),
            None => {
                self.end(last).await;
                false
            }
        };
        if cut_off {
            tracing::warn!(messages = core.in_hand.count(), "handlers are cut off: the time to stop is up");
        }
        core.life.abort.cancel();
        if timeout(LAST_ENDS, async { while self.tasks.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(messages = core.in_hand.count(), "handlers did not end when they were cut off");
        }
        while let Some(job) = core.lanes.as_ref().and_then(|lanes| lanes.take()) {
            self.hand_back(job).await;
        }
        if let Err(status) = core.streams.bus().fence().await {
            tracing::debug!(%status, "what a worker said last may be lost: some messages may come again");
        }
        core.report(false).await;
    }

    /// What was handed out before the worker stopped and has not begun, in hand.
    async fn rest(&mut self, deliveries: Option<Deliveries>) -> Vec<Job> {
        let mut rest = Vec::new();
        let Some(mut deliveries) = deliveries else { return rest };
        deliveries.stop();
        // All of it first: what is handed back while the pull is open may come right back.
        let all = async {
            while let Some(Ok(delivered)) = deliveries.next().await {
                let mut job = match self.core.arrived(delivered) {
                    Arrived::Job(job) => job,
                    Arrived::Dead(delivery, reason) => {
                        self.set_aside(delivery, reason);
                        continue;
                    }
                    Arrived::Known => continue,
                };
                job.held = Some(self.core.in_hand.hold(&job.delivery));
                rest.push(job);
            }
        };
        if timeout(LAST_ARRIVALS, all).await.is_err() {
            tracing::debug!("what was on its way to a worker that stops has not arrived: it comes again");
        }
        rest
    }

    async fn hand_back(&self, job: Job) {
        // Nobody but this one may hold it while it awaits: its work need not be shared between threads.
        let Job { delivery, held, .. } = job;
        self.core.board.handed_back();
        self.core.hand_back(&delivery).await;
        drop(held);
    }

    /// Begins what must not be handed back, and waits for all that has begun.
    async fn end(&mut self, last: Vec<Job>) {
        let core = self.core.clone();
        for job in last {
            if let Some(job) = self.admit(&core, job) {
                self.begin_last(&core, job).await;
            }
        }
        loop {
            while let Some(job) = core.lanes.as_ref().and_then(|lanes| lanes.take()) {
                self.begin_last(&core, job).await;
            }
            let waiting = core.lanes.as_ref().is_some_and(|lanes| !lanes.is_empty());
            if self.tasks.is_empty() && !waiting {
                return;
            }
            tokio::select! {
                Some(_) = self.tasks.join_next() => {}
                job = turn(&core), if waiting => self.begin_last(&core, job).await,
            }
        }
    }

    async fn begin_last(&mut self, core: &Arc<Core>, job: Job) {
        if self.permit.is_none() {
            self.permit = core.places.clone().acquire_owned().await.ok();
        }
        self.spawn(job, Instant::now());
    }
}

/// A message whose turn has come.
async fn turn(core: &Core) -> Job {
    match &core.lanes {
        Some(lanes) => lanes.next().await,
        None => std::future::pending().await,
    }
}

/// Says again and again of what is in hand that it is.
async fn speak(core: Arc<Core>) {
    let mut beats = ticks(beat(&core.consumer));
    loop {
        beats.tick().await;
        core.speak_for_all().await;
        core.lanes.iter().for_each(|lanes| lanes.expire());
    }
}

async fn report(core: Arc<Core>) {
    let mut reports = ticks(limits::WORKER_REPORT);
    loop {
        reports.tick().await;
        core.report(true).await;
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Says that a worker has stopped, when it is dropped.
struct Stopped(Arc<Core>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.life.abort.cancel();
        self.0.board.set(WorkerState::Stopped);
    }
}
