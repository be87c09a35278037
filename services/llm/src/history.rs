//! [`History`]: what a conversation remembers.

use std::collections::VecDeque;

use crate::{
    limits,
    model::{Role, Turn},
};

/// What has been said, oldest first. The oldest goes when there is no more room.
#[derive(Debug, Default)]
pub(crate) struct History {
    turns: VecDeque<Turn>,
    bytes: usize,
}

impl History {
    /// Adds what was said last.
    pub(crate) fn push(&mut self, role: Role, text: String) {
        self.bytes += text.len();
        self.turns.push_back(Turn { role, text });
        while self.turns.len() > 1 && (self.turns.len() > limits::HISTORY_TURNS || self.bytes > limits::HISTORY_BYTES) {
            self.bytes -= self.turns.pop_front().map_or(0, |turn| turn.text.len());
        }
    }

    /// A copy to ask a model with.
    pub(crate) fn turns(&self) -> Vec<Turn> {
        self.turns.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes messages of these sizes and says what sizes are left.
    fn kept(sizes: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut history = History::default();
        for size in sizes {
            history.push(Role::User, "x".repeat(size));
        }
        history.turns().iter().map(|turn| turn.text.len()).collect()
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_more_room() {
        let (most, all) = (limits::HISTORY_TURNS, limits::HISTORY_BYTES);
        assert_eq!(kept([1, 2, 3]), [1, 2, 3]);
        assert_eq!(kept(0..most + 2), (2..most + 2).collect::<Vec<_>>());
        assert_eq!(kept([1, 2, all - 2]), [2, all - 2]);
        assert_eq!(kept([1, 2, all + 1]), [all + 1], "the newest stays");
        assert_eq!(kept([all + 1, 1]), [1]);
    }
}
