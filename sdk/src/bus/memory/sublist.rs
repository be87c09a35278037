//! [`Sublist`]: who listens to a subject.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Subscriptions by subject: a tree of tokens, as in nats-server, for patterns with wildcards, and a
/// plain map for subjects without, which are most.
pub(super) struct Sublist<S> {
    exact: HashMap<Box<str>, Exact<S>, RandomState>,
    root: Node<S>,
}

struct Exact<S> {
    listeners: Listeners<S>,
    /// Whether a pattern with a wildcard matches this subject too. Known beforehand, so that most
    /// messages need no walk down the tree.
    overlapped: bool,
}

struct Node<S> {
    /// Children by literal token.
    tokens: HashMap<Box<[u8]>, Node<S>, RandomState>,
    /// The child for `*`.
    any: Option<Box<Node<S>>>,
    /// Those that end here.
    here: Listeners<S>,
    /// Those that end in `>` here.
    rest: Listeners<S>,
}

struct Listeners<S> {
    plain: Vec<S>,
    queues: Vec<(Box<str>, Vec<S>)>,
}

impl<S> Default for Listeners<S> {
    fn default() -> Self {
        Self { plain: Vec::new(), queues: Vec::new() }
    }
}

impl<S> Default for Node<S> {
    fn default() -> Self {
        Self { tokens: HashMap::default(), any: None, here: Listeners::default(), rest: Listeners::default() }
    }
}

impl<S> Default for Sublist<S> {
    fn default() -> Self {
        Self { exact: HashMap::default(), root: Node::default() }
    }
}

impl<S> Sublist<S> {
    pub(super) fn insert(&mut self, pattern: &str, queue: Option<&str>, subscription: S) {
        if !has_wildcard(pattern) {
            let overlapped = self.root.matches(tokens(pattern));
            let new = || Exact { listeners: Listeners::default(), overlapped };
            return self.exact.entry(pattern.into()).or_insert_with(new).listeners.insert(queue, subscription);
        }
        self.root.insert(tokens(pattern), queue, subscription);
        self.find_overlaps();
    }

    fn find_overlaps(&mut self) {
        for (subject, exact) in &mut self.exact {
            exact.overlapped = self.root.matches(tokens(subject));
        }
    }

    pub(super) fn remove(&mut self, pattern: &str, queue: Option<&str>, is_it: impl Fn(&S) -> bool) {
        if has_wildcard(pattern) {
            self.root.remove(tokens(pattern), queue, &is_it);
            self.find_overlaps();
        } else if let Some(exact) = self.exact.get_mut(pattern) {
            exact.listeners.remove(queue, &is_it);
            if exact.listeners.is_empty() {
                self.exact.remove(pattern);
            }
        }
    }

    /// Calls `found` for every plain subscription that matches, and for one of each queue group.
    pub(super) fn receivers<'a>(&'a self, subject: &str, mut found: impl FnMut(&'a S)) {
        // A group may listen under several patterns, so one of its members is picked at the end.
        // Nearly always there is one group under one pattern; that takes no allocation.
        let mut first: Option<(&'a str, &'a [S])> = None;
        let mut more: Vec<(&'a str, &'a [S])> = Vec::new();
        let mut listen = |listeners: &'a Listeners<S>| {
            listeners.plain.iter().for_each(&mut found);
            for (name, members) in &listeners.queues {
                if first.is_none() {
                    first = Some((name, members));
                } else {
                    more.push((name, members));
                }
            }
        };
        let exact = self.exact.get(subject);
        if let Some(exact) = exact {
            listen(&exact.listeners);
        }
        if exact.is_none_or(|exact| exact.overlapped) {
            self.root.visit(tokens(subject), &mut listen);
        }
        let Some((name, members)) = first else { return };
        if more.is_empty() {
            return found(pick(members.len(), |index| members.get(index)));
        }
        more.push((name, members));
        more.sort_by_key(|(name, _)| *name);
        for group in more.chunk_by(|(left, _), (right, _)| left == right) {
            let members: Vec<&S> = group.iter().flat_map(|(_, members)| members.iter()).collect();
            found(pick(members.len(), |index| members.get(index).copied()));
        }
    }

    pub(super) fn for_each(&self, mut found: impl FnMut(&S)) {
        self.exact.values().for_each(|exact| exact.listeners.for_each(&mut found));
        self.root.for_each(&mut found);
    }
}

fn has_wildcard(pattern: &str) -> bool {
    tokens(pattern).any(|token| matches!(token, b"*" | b">"))
}

fn tokens(subject: &str) -> impl Iterator<Item = &[u8]> + Clone {
    subject.as_bytes().split(|byte| *byte == b'.')
}

/// A random one, as nats-server does it.
fn pick<'a, S>(len: usize, get: impl FnOnce(usize) -> Option<&'a S>) -> &'a S {
    let index = if len == 1 { 0 } else { rand::random_range(0..len) };
    get(index).expect("a group that is listed has a member")
}

impl<S> Listeners<S> {
    fn insert(&mut self, queue: Option<&str>, subscription: S) {
        let Some(queue) = queue else { return self.plain.push(subscription) };
        match self.queues.iter_mut().find(|(name, _)| **name == *queue) {
            Some((_, members)) => members.push(subscription),
            None => self.queues.push((queue.into(), vec![subscription])),
        }
    }

    fn remove(&mut self, queue: Option<&str>, is_it: &impl Fn(&S) -> bool) {
        let Some(queue) = queue else { return self.plain.retain(|subscription| !is_it(subscription)) };
        for (name, members) in &mut self.queues {
            if **name == *queue {
                members.retain(|subscription| !is_it(subscription));
            }
        }
        self.queues.retain(|(_, members)| !members.is_empty());
    }

    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.queues.is_empty()
    }

    fn for_each(&self, found: &mut impl FnMut(&S)) {
        self.plain.iter().for_each(&mut *found);
        self.queues.iter().flat_map(|(_, members)| members).for_each(&mut *found);
    }
}

impl<S> Node<S> {
    fn insert<'t>(&mut self, tokens: impl Iterator<Item = &'t [u8]>, queue: Option<&str>, subscription: S) {
        let mut node = self;
        for token in tokens {
            node = match token {
                b">" => return node.rest.insert(queue, subscription),
                b"*" => node.any.get_or_insert_default(),
                _ => node.tokens.entry(token.into()).or_default(),
            };
        }
        node.here.insert(queue, subscription);
    }

    fn matches<'t>(&self, tokens: impl Iterator<Item = &'t [u8]> + Clone) -> bool {
        let mut any = false;
        self.visit(tokens, &mut |_| any = true);
        any
    }

    fn visit<'a, 't>(
        &'a self,
        mut tokens: impl Iterator<Item = &'t [u8]> + Clone,
        found: &mut impl FnMut(&'a Listeners<S>),
    ) {
        let Some(token) = tokens.next() else {
            if !self.here.is_empty() {
                found(&self.here);
            }
            return;
        };
        if !self.rest.is_empty() {
            found(&self.rest);
        }
        if let Some(node) = self.tokens.get(token) {
            node.visit(tokens.clone(), found);
        }
        if let Some(node) = &self.any {
            node.visit(tokens, found);
        }
    }

    /// Whether the node is empty afterwards, so that nothing is left of inboxes long gone.
    fn remove<'t>(
        &mut self,
        mut tokens: impl Iterator<Item = &'t [u8]>,
        queue: Option<&str>,
        is_it: &impl Fn(&S) -> bool,
    ) -> bool {
        match tokens.next() {
            None => self.here.remove(queue, is_it),
            Some(b">") => self.rest.remove(queue, is_it),
            Some(b"*") => {
                if self.any.as_mut().is_some_and(|node| node.remove(tokens, queue, is_it)) {
                    self.any = None;
                }
            }
            Some(token) => {
                if self.tokens.get_mut(token).is_some_and(|node| node.remove(tokens, queue, is_it)) {
                    self.tokens.remove(token);
                }
            }
        }
        self.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.any.is_none() && self.here.is_empty() && self.rest.is_empty()
    }

    fn for_each(&self, found: &mut impl FnMut(&S)) {
        self.here.for_each(found);
        self.rest.for_each(found);
        self.tokens.values().for_each(|node| node.for_each(found));
        if let Some(node) = &self.any {
            node.for_each(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], subject: &str, expected: &[&str]) {
        let mut sublist = Sublist::default();
        for pattern in patterns {
            sublist.insert(pattern, None, (*pattern).to_owned());
        }
        let mut found = Vec::new();
        sublist.receivers(subject, |pattern| found.push(pattern.as_str()));
        found.sort_unstable();
        assert_eq!(found, expected, "{subject}");
        for pattern in patterns {
            sublist.remove(pattern, None, |other| other == pattern);
        }
        assert!(sublist.root.is_empty() && sublist.exact.is_empty(), "nothing is left of {patterns:?}");
    }

    #[test]
    fn tokens_and_wildcards_match_as_in_nats() {
        let patterns = ["a", "a.b", "a.*", "a.>", ">", "*", "*.b", "a.b.c", "a.*.c"];
        check(&patterns, "a", &["*", ">", "a"]);
        check(&patterns, "a.b", &["*.b", ">", "a.*", "a.>", "a.b"]);
        check(&patterns, "a.b.c", &[">", "a.*.c", "a.>", "a.b.c"]);
        check(&patterns, "x", &["*", ">"]);
        check(&["a.b"], "a.b.c", &[]);
    }

    #[test]
    fn a_queue_group_gets_one_copy_even_under_two_patterns() {
        let mut sublist = Sublist::default();
        sublist.insert("a.*", Some("q"), 1);
        sublist.insert("a.b", Some("q"), 2);
        sublist.insert("a.b", Some("p"), 3);
        sublist.insert("a.b", None, 4);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            let mut copies = 0;
            sublist.receivers("a.b", |id: &usize| {
                seen[*id] += 1;
                copies += 1;
            });
            assert_eq!(copies, 3);
        }
        assert!(seen[1] > 300 && seen[2] > 300, "{seen:?}");
        assert_eq!((seen[3], seen[4]), (1000, 1000));
    }
}
