//! The consumers of a stream: how they are made, changed and taken away.

use std::{collections::VecDeque, sync::Arc};

use super::{
    clock::{self, Nanos, nanos},
    consumer::{Consumer, Readers},
    deliveries::Handle,
    pending::Pending,
    refusal::Refusal,
    replay::Replay,
    rules,
    stream::{State, Stream},
    wants::Wants,
};
use crate::{
    Result,
    jetstream::{Action, ConsumerInfo, ConsumerSpec, Deliver, Origin, ReplayPolicy, Retention, error::number},
};

impl Consumer {
    /// Whether nobody has read it for as long as it waits for that.
    pub(super) fn is_idle(&self, now: Nanos) -> bool {
        let Some(threshold) = self.spec.inactive_threshold else { return false };
        let is_unread = self.readers.count == 0 && self.pending.len() == 0;
        is_unread && now.saturating_sub(self.readers.idle_since) >= nanos(threshold)
    }
}

impl State {
    pub(super) fn named(&mut self, name: &str) -> Result<&mut Consumer> {
        if let Some(gone) = &self.gone {
            return Err(gone.clone());
        }
        let consumer = self.consumers.iter_mut().find(|consumer| *consumer.handle.origin.consumer == *name);
        consumer.ok_or_else(|| Refusal::consumer_not_found().into())
    }

    pub(super) fn put_consumer(
        &mut self,
        stream: &Arc<Stream>,
        spec: &ConsumerSpec,
        action: Action,
        now: Nanos,
    ) -> Result<ConsumerInfo> {
        if let Some(gone) = &self.gone {
            return Err(gone.clone());
        }
        let spec = rules::consumer(spec)?;
        let place = self.consumers.iter().position(|consumer| *consumer.handle.origin.consumer == *spec.name);
        let place = match (place, action) {
            (Some(place), Action::Create) => {
                let is_same = self.consumers.get(place).is_some_and(|consumer| consumer.spec == spec);
                if !is_same {
                    return Err(Refusal::new(number::CONSUMER_EXISTS, 400, "consumer already exists").into());
                }
                place
            }
            (Some(place), Action::Update) => {
                self.check_work_queue(&spec)?;
                self.change_consumer(place, spec)?;
                place
            }
            (None, Action::Create) => {
                self.check_work_queue(&spec)?;
                self.make_consumer(stream, spec, now);
                self.consumers.len() - 1
            }
            (None, Action::Update) => {
                let refusal = Refusal::new(number::CONSUMER_DOES_NOT_EXIST, 400, "consumer does not exist");
                return Err(refusal.into());
            }
        };
        self.consumers.get(place).map(Consumer::info).ok_or_else(|| Refusal::consumer_not_found().into())
    }

    fn check_work_queue(&self, spec: &ConsumerSpec) -> Result<(), Refusal> {
        let others = self.consumers.iter().map(|consumer| &consumer.spec).filter(|other| other.name != spec.name);
        rules::work_queue(spec, &self.spec, others)
    }

    fn make_consumer(&mut self, stream: &Arc<Stream>, spec: ConsumerSpec, now: Nanos) {
        self.serials += 1;
        let wants = Wants::new(&spec.filters, &self.store.subjects);
        let (heads, next) = self.start(&spec, &wants);
        let before = heads.front().copied().unwrap_or(next).saturating_sub(1);
        let replay = (spec.replay == ReplayPolicy::Original).then(|| Replay::new(self.store.log.last()));
        let origin = Origin { stream: stream.name.as_ref().into(), consumer: spec.name.as_ref().into() };
        let mut consumer = Consumer {
            handle: Arc::new(Handle { stream: stream.clone(), origin: Arc::new(origin), serial: self.serials }),
            spec,
            wants,
            heads,
            next,
            unseen: 0,
            pending: Pending::default(),
            replay,
            handed_out: 0,
            delivered: before,
            floor: before,
            advisories: Vec::new(),
            readers: Readers::new(now),
        };
        consumer.unseen = self.unseen(&consumer);
        self.consumers.push(consumer);
    }

    /// What a new consumer begins with: single messages, then everything from a place on.
    fn start(&mut self, spec: &ConsumerSpec, wants: &Wants) -> (VecDeque<u64>, u64) {
        let log = &self.store.log;
        let (first, end) = (log.first().map_or(log.last() + 1, |view| view.sequence), log.last() + 1);
        let next = match spec.deliver {
            Deliver::All => first,
            Deliver::New => end,
            // The last place, as on the server, though its message may be gone.
            Deliver::Last if matches!(wants, Wants::All) => log.last().max(1),
            Deliver::Last => {
                let mut newest = log.back_from(log.last()).filter(|view| wants.has(view.entry.subject));
                newest.next().map_or(first, |view| view.sequence)
            }
            Deliver::FromSequence(sequence) => sequence.max(first),
            Deliver::FromTime(time) => {
                let time = clock::from_system(time);
                log.from(0).find(|view| view.entry.time >= time).map_or(end, |view| view.sequence)
            }
            Deliver::LastPerSubject => {
                let numbers: Vec<_> = self.store.subjects.iter().map(|(_, number)| number).collect();
                let wanted = numbers.into_iter().filter(|number| wants.has(*number));
                let lasts = wanted.filter_map(|number| self.store.subjects.last(number, &self.store.log));
                let mut heads: Vec<_> = lasts.collect();
                heads.sort_unstable();
                let next = if heads.is_empty() { first } else { end };
                return (heads.into(), next);
            }
        };
        (VecDeque::new(), next)
    }

    fn unseen(&self, consumer: &Consumer) -> u64 {
        let log = &self.store.log;
        if matches!(consumer.wants, Wants::All) && log.first().is_none_or(|view| view.sequence >= consumer.next) {
            return log.messages();
        }
        let ahead = log.from(consumer.next).filter(|view| consumer.wants.has(view.entry.subject));
        consumer.heads.len() as u64 + ahead.count() as u64
    }

    fn change_consumer(&mut self, place: usize, spec: ConsumerSpec) -> Result<()> {
        let wants = Wants::new(&spec.filters, &self.store.subjects);
        let Some(consumer) = self.consumers.get_mut(place) else { return Ok(()) };
        rules::consumer_change(&consumer.spec, &spec)?;
        let refilters = consumer.spec.filters != spec.filters;
        let floor = consumer.floor;
        consumer.wants = wants;
        consumer.spec = spec;
        // There may be room for more now.
        consumer.readers.wake_all(&mut self.wakes);
        if refilters && self.spec.retention == Retention::Interest {
            self.settle_from(floor);
        }
        let Some(consumer) = self.consumers.get(place) else { return Ok(()) };
        let unseen = self.unseen(consumer);
        if let Some(consumer) = self.consumers.get_mut(place) {
            consumer.unseen = unseen;
        }
        Ok(())
    }

    pub(super) fn delete_consumer(&mut self, name: &str) -> Result<()> {
        let serial = self.named(name)?.handle.serial;
        self.forget_consumers(|consumer| consumer.handle.serial == serial);
        Ok(())
    }

    /// A reader comes: its consumer and its number.
    pub(super) fn come(&mut self, name: &str) -> Result<(Arc<Handle>, u64)> {
        self.serials += 1;
        let reader = self.serials;
        let consumer = self.named(name)?;
        consumer.readers.count += 1;
        Ok((consumer.handle.clone(), reader))
    }
}
