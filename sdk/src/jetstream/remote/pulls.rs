//! [`Pulls`]: how much is asked of a consumer, and when again.

use std::time::Duration;

use crate::{
    bus::{Message, Subject},
    jetstream::Pull,
};

/// How long the server keeps a pull.
const EXPIRES: Duration = Duration::from_secs(30);

/// How often the server says that a pull still waits: twice in its life at least.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);

/// Pulls that the server may have of us at one time. It serves them in turns, so that older ones have
/// a rest of theirs when a new one comes; with half of all each time there are never more.
const PULLS: usize = 4;

/// How much is asked of a consumer, and when again.
///
/// The server says when a pull ends early, and how much of it is left; nothing needs to be timed.
#[derive(Debug)]
pub(super) struct Pulls {
    /// Where a pull goes, and where the messages come.
    next: Subject,
    inbox: Subject,
    limits: Pull,
    /// What the consumer takes at most, and the subscription.
    messages_max: usize,
    expires: Duration,
    /// Messages that were asked for and not handed out yet.
    due: usize,
    /// The size of a message, about.
    size: usize,
    /// The next message did not fit the bytes of a pull: it is asked for by itself.
    oversize: bool,
}

impl Pulls {
    /// `capacity`: messages that the subscription holds before it drops some. Half of it is asked for: what the
    /// server says of pulls needs room as well, and so does what still comes of pulls that were given up.
    pub(super) fn new(next: Subject, inbox: Subject, pull: Pull, capacity: usize) -> Self {
        let messages_max = (capacity / 2).max(1);
        let limits = Pull { messages: pull.messages.clamp(1, messages_max), bytes: pull.bytes.max(PULLS) };
        Self { next, inbox, limits, messages_max, expires: EXPIRES, due: 0, size: 0, oversize: false }
    }

    pub(super) fn next(&self) -> &Subject {
        &self.next
    }

    pub(super) fn inbox(&self) -> &Subject {
        &self.inbox
    }

    /// Whether something that was asked for is still to come.
    pub(super) fn is_due(&self) -> bool {
        self.due > 0
    }

    /// The pull to send now, if less than half is under way.
    pub(super) fn refill(&mut self) -> Option<Message> {
        let wanted = self.wanted();
        // More may be due, since less is wanted now.
        if self.due > wanted / 2 {
            return None;
        }
        let batch = wanted - self.due;
        self.due = wanted;
        let (expires, heartbeat) = (self.expires.as_nanos(), HEARTBEAT.min(self.expires / 2).as_nanos());
        let mut request = format!("{{\"batch\":{batch},\"expires\":{expires},\"idle_heartbeat\":{heartbeat}");
        if !std::mem::take(&mut self.oversize) {
            request.push_str(&format!(",\"max_bytes\":{}", self.limits.bytes / PULLS));
        }
        request.push('}');
        Some(Message::new(self.next.clone(), request).with_reply(self.inbox.clone()))
    }

    /// How many messages may be under way. So few that they take half the bytes that a pull allows: if
    /// a pull is cut short for its bytes it is because messages have become larger, and not each time.
    fn wanted(&self) -> usize {
        if self.oversize {
            return 1;
        }
        let fit = self.limits.bytes / PULLS / 2 / self.size.max(1);
        fit.clamp(1, self.limits.messages)
    }

    /// One was handed out.
    pub(super) fn took(&mut self, bytes: usize) {
        self.due = self.due.saturating_sub(1);
        // The mean of the last few.
        self.size = (self.size * 7 + bytes).div_ceil(8);
    }

    /// A pull has ended with so many messages left; all of it, if the server does not say.
    pub(super) fn ended(&mut self, left: Option<usize>) {
        self.due = left.map_or(0, |left| self.due.saturating_sub(left));
    }

    /// A pull has ended because the next message does not fit.
    pub(super) fn ended_for_size(&mut self, left: Option<usize>) {
        self.ended(left);
        // Nothing of it came before: an empty pull is not enough for this message.
        self.oversize = self.due == 0;
    }

    /// Nothing that was asked for will come.
    pub(super) fn lost(&mut self) {
        self.due = 0;
    }

    /// The consumer takes no larger pulls than this.
    pub(super) fn limit_messages(&mut self, messages: usize) {
        self.messages_max = self.messages_max.min(messages);
        self.ask(self.limits.messages);
    }

    /// So many may be under way from now on.
    pub(super) fn ask(&mut self, messages: usize) {
        self.limits.messages = messages.min(self.messages_max).max(1);
    }

    pub(super) fn limit_bytes(&mut self, bytes: usize) {
        self.limits.bytes = self.limits.bytes.min(bytes.saturating_mul(PULLS)).max(PULLS);
    }

    /// The consumer takes no pulls that wait so long.
    pub(super) fn shorten(&mut self) {
        self.expires = (self.expires / 2).max(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn pulls(messages: usize, bytes: usize) -> Pulls {
        with_capacity(Pull { messages, bytes }, 65_536)
    }

    fn with_capacity(pull: Pull, capacity: usize) -> Pulls {
        Pulls::new(Subject::from_static("next"), Subject::from_static("inbox"), pull, capacity)
    }

    fn refill(pulls: &mut Pulls) -> Option<Value> {
        let message = pulls.refill()?;
        assert_eq!(message.reply.as_ref().map(Subject::as_str), Some("inbox"));
        serde_json::from_slice(&message.payload).ok()
    }

    fn take(pulls: &mut Pulls, messages: usize, bytes: usize) {
        (0..messages).for_each(|_| pulls.took(bytes));
    }

    #[test]
    fn more_is_asked_for_when_half_is_left() {
        let mut pulls = pulls(100, 1 << 20);
        assert_eq!(refill(&mut pulls).expect("a pull")["batch"], 100);
        take(&mut pulls, 49, 10);
        assert!(refill(&mut pulls).is_none());
        take(&mut pulls, 1, 10);
        assert_eq!(refill(&mut pulls).expect("a pull")["batch"], 50);
        assert!(refill(&mut pulls).is_none());
    }

    #[test]
    fn no_more_is_asked_for_than_the_subscription_has_room_for() {
        for (capacity, most) in [(1, 1), (16, 8), (100, 50), (65_536, 1_000)] {
            let mut pulls = with_capacity(Pull { messages: 1_000, bytes: 1 << 20 }, capacity);
            assert_eq!(refill(&mut pulls).expect("a pull")["batch"], most);
            pulls.lost();
            pulls.limit_messages(10_000);
            pulls.ask(1_000);
            assert_eq!(refill(&mut pulls).expect("a pull")["batch"], most);
        }
    }

    #[test]
    fn one_at_a_time_is_one_at_a_time() {
        let mut pulls = pulls(1, 1);
        for _ in 0..3 {
            assert_eq!(refill(&mut pulls).expect("a pull")["batch"], 1);
            assert!(refill(&mut pulls).is_none());
            take(&mut pulls, 1, 1_000_000);
        }
    }

    #[test]
    fn heartbeats_come_twice_in_the_life_of_a_pull() {
        let mut pulls = pulls(10, 1 << 20);
        for _ in 0..8 {
            let pull = refill(&mut pulls).expect("a pull");
            let number = |field: &str| pull[field].as_u64().unwrap_or_default();
            assert!(number("idle_heartbeat") > 0 && number("idle_heartbeat") * 2 <= number("expires"), "{pull}");
            pulls.lost();
            pulls.shorten();
        }
    }

    #[test]
    fn large_messages_are_asked_for_in_small_numbers() {
        let mut pulls = pulls(1_000, 1 << 20);
        assert_eq!(refill(&mut pulls).expect("a pull")["batch"], 1_000);
        take(&mut pulls, 1_000, 10_000);
        let pull = refill(&mut pulls).expect("a pull");
        let batch = pull["batch"].as_u64().expect("a number");
        assert!((5..=13).contains(&batch), "{batch}");
        assert!(pull["max_bytes"].as_u64().is_some_and(|bytes| bytes * PULLS as u64 <= 1 << 20));
    }

    #[test]
    fn a_message_that_fits_no_pull_is_asked_for_by_itself() {
        let mut pulls = pulls(100, 1_000);
        assert!(refill(&mut pulls).is_some());
        pulls.ended_for_size(Some(100));
        let pull = refill(&mut pulls).expect("a pull");
        assert_eq!((&pull["batch"], &pull["max_bytes"]), (&Value::from(1), &Value::Null));
        take(&mut pulls, 1, 5_000);
        assert!(refill(&mut pulls).expect("a pull")["max_bytes"].is_u64());
    }

    #[test]
    fn what_a_pull_left_is_asked_for_again() {
        let mut pulls = pulls(100, 1 << 20);
        assert!(refill(&mut pulls).is_some());
        take(&mut pulls, 20, 10);
        pulls.ended(Some(80));
        assert!(!pulls.is_due());
        assert_eq!(refill(&mut pulls).expect("a pull")["batch"], 100);
        pulls.limit_messages(30);
        pulls.ended(None);
        assert_eq!(refill(&mut pulls).expect("a pull")["batch"], 30);
    }
}
