//! [`Subjects`]: the subjects that a stream has messages of.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use super::log::Log;
use crate::{bus::Subject, wire::pattern};

/// The subjects that a stream has messages of: each is kept once, and messages name its number.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    numbers: HashMap<Subject, u32, RandomState>,
    rows: Vec<Row>,
    /// Numbers that nobody has now.
    free: Vec<u32>,
    /// Whether the places of all messages of a subject are kept, to find its oldest at once.
    keeps_places: bool,
}

#[derive(Debug)]
struct Row {
    subject: Subject,
    messages: u64,
    /// No message of it is older.
    first: u64,
    /// No message of it is newer.
    last: u64,
    places: VecDeque<u64>,
}

impl Subjects {
    /// With `places`, the places of all messages are kept by subject, from what the log has.
    pub(super) fn keep_places(&mut self, places: bool, log: &Log) {
        if self.keeps_places == places {
            return;
        }
        self.keeps_places = places;
        self.rows.iter_mut().for_each(|row| row.places = VecDeque::new());
        if places {
            for view in log.from(0) {
                if let Some(row) = self.rows.get_mut(view.entry.subject as usize) {
                    row.places.push_back(view.sequence);
                }
            }
        }
    }

    /// The number of a subject that there are messages of.
    pub(super) fn number(&self, subject: &str) -> Option<u32> {
        self.numbers.get(subject).copied()
    }

    /// The number of a subject, and whether it is a new one.
    pub(super) fn number_or_new(&mut self, subject: &Subject) -> (u32, bool) {
        if let Some(number) = self.numbers.get(subject.as_str()) {
            return (*number, false);
        }
        // Its own copy: the publisher's may be a piece of something large.
        let subject = Subject::trusted(subject.as_str().to_owned());
        let row = Row { subject: subject.clone(), messages: 0, first: u64::MAX, last: 0, places: VecDeque::new() };
        let number = match self.free.pop() {
            Some(number) => number,
            None => u32::try_from(self.rows.len()).unwrap_or(u32::MAX),
        };
        match self.rows.get_mut(number as usize) {
            Some(old) => *old = row,
            None => self.rows.push(row),
        }
        self.numbers.insert(subject, number);
        (number, true)
    }

    pub(super) fn subject(&self, number: u32) -> Option<&Subject> {
        self.rows.get(number as usize).map(|row| &row.subject)
    }

    pub(super) fn added(&mut self, number: u32, sequence: u64) {
        let keeps_places = self.keeps_places;
        let Some(row) = self.rows.get_mut(number as usize) else { return };
        row.messages += 1;
        row.first = row.first.min(sequence);
        row.last = sequence;
        if keeps_places {
            row.places.push_back(sequence);
        }
    }

    /// A message of this subject is gone from the log.
    pub(super) fn removed(&mut self, number: u32, sequence: u64) {
        let Some(row) = self.rows.get_mut(number as usize) else { return };
        row.messages = row.messages.saturating_sub(1);
        if row.first == sequence {
            row.first += 1;
        }
        if row.last == sequence {
            row.last -= 1;
        }
        if row.places.front() == Some(&sequence) {
            row.places.pop_front();
        } else if let Ok(index) = row.places.binary_search(&sequence) {
            row.places.remove(index);
        }
        if row.messages == 0 {
            row.places = VecDeque::new();
            self.numbers.remove(row.subject.as_str());
            self.free.push(number);
        }
    }

    /// How many messages it has.
    pub(super) fn messages(&self, number: u32) -> u64 {
        self.rows.get(number as usize).map_or(0, |row| row.messages)
    }

    /// The place of its oldest message.
    pub(super) fn first(&mut self, number: u32, log: &Log) -> Option<u64> {
        let row = self.rows.get_mut(number as usize).filter(|row| row.messages > 0)?;
        let first = match row.places.front() {
            Some(first) => *first,
            None if row.messages == 1 && log.get(row.last).is_some() => row.last,
            None => log.from(row.first).find(|view| view.entry.subject == number)?.sequence,
        };
        row.first = first;
        Some(first)
    }

    /// The place of its newest message.
    pub(super) fn last(&mut self, number: u32, log: &Log) -> Option<u64> {
        let row = self.rows.get_mut(number as usize).filter(|row| row.messages > 0)?;
        let is_it = log.get(row.last).is_some_and(|view| view.entry.subject == number);
        if !is_it {
            row.last = log.back_from(row.last).find(|view| view.entry.subject == number)?.sequence;
        }
        Some(row.last)
    }

    /// The numbers of the subjects that `filter` stands for.
    pub(super) fn matching(&self, filter: &str) -> Vec<u32> {
        if !pattern::is_pattern(filter) {
            return self.number(filter).into_iter().collect();
        }
        let matching = self.numbers.iter().filter(|(subject, _)| pattern::matches(filter, subject.as_str()));
        matching.map(|(_, number)| *number).collect()
    }

    /// Every subject and its number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Subject, u32)> {
        self.numbers.iter().map(|(subject, number)| (subject, *number))
    }

    pub(super) fn clear(&mut self) {
        self.numbers = HashMap::default();
        self.rows = Vec::new();
        self.free = Vec::new();
    }
}
