//! Flow control: how far a sender may go, and when a reader lets it go further.

use crate::{
    limits::{WINDOW_BYTES, WINDOW_GROWTH, WINDOW_MESSAGES},
    message::Room,
    wire::frame::Credit,
};

/// What may be sent. Starts with one window on both sides, so that nobody waits for a first grant.
#[derive(Debug)]
pub(crate) struct SendWindow {
    granted: Credit,
    sent: Credit,
}

impl SendWindow {
    pub(crate) fn new() -> Self {
        Self { granted: INITIAL, sent: Credit::default() }
    }

    /// What the next frame may hold; `None` while the reader is behind.
    ///
    /// A frame may be the one that oversteps, so a message larger than the window can still be sent.
    pub(crate) fn room(&self, frame_bytes: usize) -> Option<Room> {
        let messages = self.granted.messages.saturating_sub(self.sent.messages);
        let bytes = self.granted.bytes.saturating_sub(self.sent.bytes);
        (messages > 0 && bytes > 0).then(|| Room {
            messages: usize::try_from(messages).unwrap_or(usize::MAX).min(Room::FRAME.messages),
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX).min(frame_bytes),
        })
    }

    pub(crate) fn sent(&mut self, messages: usize, bytes: usize) {
        self.sent.messages += messages as u64;
        self.sent.bytes += bytes as u64;
    }

    /// Totals never shrink, so a grant that comes late or twice changes nothing.
    pub(crate) fn grant(&mut self, credit: Credit) {
        self.granted.messages = self.granted.messages.max(credit.messages);
        self.granted.bytes = self.granted.bytes.max(credit.bytes);
    }
}

/// What may arrive, and what has been read of it.
///
/// The window grows for a reader that catches up with a sender it had stopped: both had to wait for each
/// other, as on a machine where each runs only every few milliseconds. It does not for a slow reader, which
/// never catches up, nor for a slow sender, which is never stopped.
#[derive(Debug)]
pub(crate) struct ReceiveWindow {
    granted: Credit,
    arrived: Credit,
    read: Credit,
    /// How many times [`INITIAL`] it is.
    growth: u64,
    /// Whether the sender had used up nearly all it was granted, since the window was this large.
    stopped: bool,
}

impl ReceiveWindow {
    pub(crate) fn new() -> Self {
        Self { granted: INITIAL, arrived: Credit::default(), read: Credit::default(), growth: 1, stopped: false }
    }

    /// Counts a frame that arrived; `false` if the other side had no credit for it.
    pub(crate) fn arrive(&mut self, messages: usize, bytes: usize) -> bool {
        let had_credit = self.arrived.messages < self.granted.messages && self.arrived.bytes < self.granted.bytes;
        self.arrived.messages = self.arrived.messages.saturating_add(messages as u64);
        self.arrived.bytes = self.arrived.bytes.saturating_add(bytes as u64);
        self.stopped |= self.arrived.messages + GRANT.messages > self.granted.messages
            || self.arrived.bytes + GRANT.bytes > self.granted.bytes;
        // The one overstepping frame may hold no more than a frame can.
        had_credit
            && self.arrived.messages <= self.granted.messages + Room::FRAME.messages as u64
            && self.arrived.bytes <= self.granted.bytes + crate::limits::PART_BYTES as u64 * 2
    }

    /// Counts that everything is read which has arrived.
    pub(crate) fn caught_up(&mut self) {
        if self.stopped && self.growth < WINDOW_GROWTH {
            self.growth *= 2;
            self.stopped = false;
        }
    }

    /// Counts what was read. Every quarter of a window it is time to grant more: seldom enough to be
    /// cheap, early enough that the sender need not stop.
    pub(crate) fn read(&mut self, messages: usize, bytes: usize) -> Option<Credit> {
        self.read.messages += messages as u64;
        self.read.bytes += bytes as u64;
        let next = Credit {
            messages: self.read.messages.saturating_add(INITIAL.messages * self.growth),
            bytes: self.read.bytes.saturating_add(INITIAL.bytes * self.growth),
        };
        let due = next.messages - self.granted.messages >= GRANT.messages * self.growth
            || next.bytes - self.granted.bytes >= GRANT.bytes * self.growth;
        due.then(|| {
            self.granted = next;
            next
        })
    }

    pub(crate) fn granted(&self) -> Credit {
        self.granted
    }
}

const INITIAL: Credit = Credit { messages: WINDOW_MESSAGES, bytes: WINDOW_BYTES };
const GRANT: Credit = Credit { messages: WINDOW_MESSAGES / 4, bytes: WINDOW_BYTES / 4 };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the sizes and the pace, the receiver never holds more than the largest window and a
        /// frame, never calls an honest sender a liar, and never leaves it waiting with everything read.
        #[test]
        fn the_window_bounds_memory_and_never_jams(steps in prop::collection::vec((1..5000usize, 1..130_000usize, any::<bool>()), 1..200)) {
            let (mut send, mut receive) = (SendWindow::new(), ReceiveWindow::new());
            let mut unread: Vec<(usize, usize)> = Vec::new();
            for (messages, bytes, read_all) in steps {
                if let Some(room) = send.room(32 * 1024) {
                    let messages = messages.min(room.messages);
                    send.sent(messages, bytes);
                    prop_assert!(receive.arrive(messages, bytes));
                    unread.push((messages, bytes));
                }
                let held: usize = unread.iter().map(|(_, bytes)| bytes).sum();
                prop_assert!(held as u64 <= WINDOW_BYTES * WINDOW_GROWTH + 130_000);
                if read_all {
                    for (messages, bytes) in unread.drain(..) {
                        if let Some(credit) = receive.read(messages, bytes) {
                            send.grant(credit);
                        }
                    }
                    receive.caught_up();
                    prop_assert!(send.room(1).is_some());
                }
            }
        }
    }

    /// Sends what is granted, `bytes` at most.
    fn send(send: &mut SendWindow, receive: &mut ReceiveWindow, mut bytes: usize) -> usize {
        let mut sent = 0;
        while let Some(room) = send.room(bytes).filter(|_| bytes > 0) {
            send.sent(1, room.bytes);
            assert!(receive.arrive(1, room.bytes));
            sent += room.bytes;
            bytes -= room.bytes;
        }
        sent
    }

    fn read(window: &mut SendWindow, receive: &mut ReceiveWindow, bytes: usize) {
        if let Some(credit) = receive.read(1, bytes) {
            window.grant(credit);
        }
    }

    const INITIAL_BYTES: usize = WINDOW_BYTES as usize;
    const LARGEST_BYTES: usize = (WINDOW_BYTES * WINDOW_GROWTH) as usize;

    #[test]
    fn the_window_grows_for_a_reader_that_catches_up_with_its_sender() {
        let (mut window, mut receive) = (SendWindow::new(), ReceiveWindow::new());
        for _ in 0..10 {
            let sent = send(&mut window, &mut receive, usize::MAX);
            read(&mut window, &mut receive, sent);
            receive.caught_up();
        }
        assert_eq!(send(&mut window, &mut receive, usize::MAX), LARGEST_BYTES);
    }

    #[test]
    fn the_window_does_not_grow_for_a_slow_reader() {
        let (mut window, mut receive) = (SendWindow::new(), ReceiveWindow::new());
        let mut held = 0;
        for _ in 0..100 {
            held += send(&mut window, &mut receive, usize::MAX);
            assert!(held <= INITIAL_BYTES);
            read(&mut window, &mut receive, INITIAL_BYTES / 4);
            held -= INITIAL_BYTES / 4;
        }
    }

    #[test]
    fn the_window_does_not_grow_for_a_slow_sender() {
        let (mut window, mut receive) = (SendWindow::new(), ReceiveWindow::new());
        for _ in 0..100 {
            let sent = send(&mut window, &mut receive, INITIAL_BYTES / 4);
            read(&mut window, &mut receive, sent);
            receive.caught_up();
        }
        assert_eq!(send(&mut window, &mut receive, usize::MAX), INITIAL_BYTES);
    }

    #[test]
    fn a_sender_without_credit_is_noticed() {
        let mut receive = ReceiveWindow::new();
        assert!(receive.arrive(1, WINDOW_BYTES as usize));
        assert!(!receive.arrive(1, 1));
        assert!(!ReceiveWindow::new().arrive(1, 10 * WINDOW_BYTES as usize));
    }

    #[test]
    fn credit_that_comes_late_or_absurd_does_no_harm() {
        let mut send = SendWindow::new();
        send.grant(Credit { messages: u64::MAX, bytes: u64::MAX });
        send.grant(Credit { messages: 0, bytes: 0 });
        send.sent(1, 1);
        assert!(send.room(100).is_some());
    }
}
