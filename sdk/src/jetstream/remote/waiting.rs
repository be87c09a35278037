//! [`Waiting`]: the requests of one connection that wait for an answer.

use std::{
    fmt,
    hash::BuildHasher,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use foldhash::quality::RandomState;
use tokio::time::Instant;

use crate::{
    Code, Result, Status,
    bus::{Message, Subject},
    jetstream::PublishAck,
    limits,
    status::reason,
};

/// Requests that may wait at one time: what the bits for a place can tell apart.
const REQUESTS_MAX: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 20;

/// What the sweep adds to the time of a request, so that none ends early.
pub(super) const SWEEP: Duration = Duration::from_millis(250);

/// Which request an answer belongs to: its place, what it wants, and random bits, so that an answer
/// which comes late is not taken for another's, and a listener who saw one cannot guess the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64);

/// What a request takes for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// Whatever comes.
    Message,
    /// That a message is stored, or why not.
    PublishAck,
}

impl Key {
    fn new(place: usize, wants: Wants) -> Self {
        let random: u64 = rand::random();
        Self(random << (PLACE_BITS + 1) | u64::from(wants == Wants::PublishAck) << PLACE_BITS | place as u64)
    }

    pub(super) fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }

    pub(super) fn wants(self) -> Wants {
        if self.0 & REQUESTS_MAX as u64 == 0 { Wants::Message } else { Wants::PublishAck }
    }

    fn place(self) -> usize {
        (self.0 & (REQUESTS_MAX as u64 - 1)) as usize
    }
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Message(Box<Message>),
    Stored(PublishAck),
    /// The broker says that nobody listens.
    NoResponders,
    /// Nothing came in time.
    Late,
    /// It was refused, or its connection was lost.
    Failed(Status),
}

/// The requests of one connection that wait for an answer.
pub(super) struct Waiting {
    places: Mutex<Places>,
    hasher: RandomState,
}

struct Places {
    all: Vec<Place>,
    free: Vec<usize>,
    /// As of the last sweep: a clock that costs nothing to read.
    now: Instant,
}

struct Place {
    /// Of who waits here, or did.
    key: Key,
    /// The hash of the subject that it was sent to.
    subject: u64,
    epoch: u64,
    due: Instant,
    state: State,
}

enum State {
    Free,
    Waiting(Option<Waker>),
    Answered(Answer),
}

impl Waiting {
    pub(super) fn new() -> Self {
        let places = Places { all: Vec::new(), free: Vec::new(), now: Instant::now() };
        Self { places: Mutex::new(places), hasher: RandomState::default() }
    }

    /// A place for a request that goes to `subject` over this connection.
    pub(super) fn enter(&self, wants: Wants, subject: &Subject, epoch: u64) -> Result<Key> {
        let subject = self.hasher.hash_one(subject.as_str());
        let mut places = self.lock();
        let due = places.now + limits::STREAM_ANSWER + SWEEP;
        let place = places.free.pop().unwrap_or(places.all.len());
        if place >= REQUESTS_MAX {
            let message = format!("{REQUESTS_MAX} requests to streams wait for an answer");
            return Err(Status::made_here(Code::ResourceExhausted, reason::IN_FLIGHT_LIMIT, message));
        }
        let key = Key::new(place, wants);
        let entered = Place { key, subject, epoch, due, state: State::Waiting(None) };
        match places.all.get_mut(place) {
            Some(free) => *free = entered,
            None => places.all.push(entered),
        }
        Ok(key)
    }

    /// The answer, which leaves its place.
    pub(super) fn poll(&self, key: Key, cx: &mut TaskContext<'_>) -> Poll<Answer> {
        let mut places = self.lock();
        let Some(place) = places.get(key) else { return Poll::Ready(Answer::Late) };
        match &mut place.state {
            State::Waiting(Some(waker)) => waker.clone_from(cx.waker()),
            State::Waiting(waker) => *waker = Some(cx.waker().clone()),
            State::Answered(_) | State::Free => match mem::replace(&mut place.state, State::Free) {
                State::Answered(answer) => {
                    places.free.push(key.place());
                    return Poll::Ready(answer);
                }
                _ => return Poll::Ready(Answer::Late),
            },
        }
        Poll::Pending
    }

    /// Forgets a request that nobody waits for any more.
    pub(super) fn leave(&self, key: Key) {
        let mut places = self.lock();
        if let Some(place) = places.get(key) {
            let left = mem::replace(&mut place.state, State::Free);
            places.free.push(key.place());
            drop(places);
            drop(left);
        }
    }

    /// Hands out answers. One for a request that is gone is dropped.
    pub(super) fn answer(&self, answers: &mut Vec<(Key, Answer)>, wakers: &mut Vec<Waker>) {
        let mut places = self.lock();
        for (key, answer) in answers.drain(..) {
            if let Some(place) = places.get(key) {
                wakers.extend(place.answer(answer));
            }
        }
        drop(places);
        wakers.drain(..).for_each(Waker::wake);
    }

    /// Fails the requests whose connection is gone: older than `epoch`, or that one too.
    pub(super) fn fail_lost(&self, epoch: u64, up: bool, status: &Status) {
        self.fail(|| Answer::Failed(status.clone()), |place| place.epoch < epoch || (!up && place.epoch == epoch));
    }

    /// Fails the requests that went to `subject`.
    pub(super) fn fail_subject(&self, subject: &str, status: &Status) {
        let subject = self.hasher.hash_one(subject);
        self.fail(|| Answer::Failed(status.clone()), |place| place.subject == subject);
    }

    pub(super) fn fail_all(&self, status: &Status) {
        self.fail(|| Answer::Failed(status.clone()), |_| true);
    }

    /// Ends the requests whose time is up.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.lock().now = now;
        self.fail(|| Answer::Late, |place| place.due <= now);
    }

    fn fail(&self, answer: impl Fn() -> Answer, which: impl Fn(&Place) -> bool) {
        let mut places = self.lock();
        let waiting = places.all.iter_mut().filter(|place| matches!(place.state, State::Waiting(_)) && which(place));
        let wakers: Vec<_> = waiting.filter_map(|place| place.answer(answer())).collect();
        drop(places);
        wakers.into_iter().for_each(Waker::wake);
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        let places = self.lock();
        places.all.len() - places.free.len()
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// The place of a request that has not left it.
    fn get(&mut self, key: Key) -> Option<&mut Place> {
        self.all.get_mut(key.place()).filter(|place| place.key == key && !matches!(place.state, State::Free))
    }
}

impl Place {
    /// Only the first answer counts.
    fn answer(&mut self, answer: Answer) -> Option<Waker> {
        match &mut self.state {
            State::Waiting(waker) => {
                let waker = waker.take();
                self.state = State::Answered(answer);
                waker
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject = Subject::from_static("a.b");

    fn enter(waiting: &Waiting, epoch: u64) -> Key {
        waiting.enter(Wants::PublishAck, &SUBJECT, epoch).expect("room")
    }

    fn poll(waiting: &Waiting, key: Key) -> Poll<Answer> {
        waiting.poll(key, &mut TaskContext::from_waker(Waker::noop()))
    }

    fn answer(waiting: &Waiting, key: Key) {
        waiting.answer(&mut vec![(key, Answer::NoResponders)], &mut Vec::new());
    }

    #[test]
    fn a_key_tells_what_is_wanted() {
        for wants in [Wants::Message, Wants::PublishAck] {
            for place in [0, 1, REQUESTS_MAX - 1] {
                let key = Key::from_number(Key::new(place, wants).number());
                assert_eq!((key.wants(), key.place()), (wants, place));
            }
        }
    }

    #[tokio::test]
    async fn a_request_that_nobody_awaits_leaves_nothing_behind() {
        let waiting = Waiting::new();
        for _ in 0..1_000 {
            let left = enter(&waiting, 1);
            waiting.leave(left);
            let answered = enter(&waiting, 1);
            answer(&waiting, answered);
            assert!(matches!(poll(&waiting, answered), Poll::Ready(Answer::NoResponders)));
            waiting.leave(answered);
        }
        assert_eq!(waiting.count(), 0);
        assert_eq!(waiting.lock().all.len(), 1);
    }

    #[tokio::test]
    async fn a_late_answer_is_not_taken_for_anothers() {
        let waiting = Waiting::new();
        let gone = enter(&waiting, 1);
        waiting.leave(gone);
        let another = enter(&waiting, 1);
        assert_eq!(gone.place(), another.place());
        answer(&waiting, gone);
        assert!(poll(&waiting, another).is_pending());
        assert_eq!(waiting.count(), 1);
    }

    #[tokio::test]
    async fn only_what_went_over_a_lost_connection_fails() {
        let waiting = Waiting::new();
        let (old, new) = (enter(&waiting, 1), enter(&waiting, 2));
        let status = Status::unavailable("lost");
        waiting.fail_lost(2, true, &status);
        assert!(matches!(poll(&waiting, old), Poll::Ready(Answer::Failed(_))));
        assert!(poll(&waiting, new).is_pending());
        waiting.fail_lost(2, false, &status);
        assert!(matches!(poll(&waiting, new), Poll::Ready(Answer::Failed(_))));
    }

    #[tokio::test]
    async fn a_refusal_fails_the_requests_to_its_subject() {
        let waiting = Waiting::new();
        let key = enter(&waiting, 1);
        let status = Status::permission_denied("no");
        waiting.fail_subject("a.c", &status);
        assert!(poll(&waiting, key).is_pending());
        waiting.fail_subject("a.b", &status);
        assert!(matches!(poll(&waiting, key), Poll::Ready(Answer::Failed(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_ends_when_its_time_is_up() {
        let waiting = Waiting::new();
        let key = enter(&waiting, 1);
        tokio::time::advance(limits::STREAM_ANSWER).await;
        waiting.sweep();
        assert!(poll(&waiting, key).is_pending());
        tokio::time::advance(SWEEP).await;
        waiting.sweep();
        assert!(matches!(poll(&waiting, key), Poll::Ready(Answer::Late)));
    }
}
