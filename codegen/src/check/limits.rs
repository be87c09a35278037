//! How large a schema may be, so that compiling one always ends.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, MessageDescriptor};

use crate::place::Report;

/// Longest chain of messages inside messages; prost decodes no deeper either.
const MAX_DEPTH: usize = 100;

/// Most ways from one message down through its fields: prost-build walks every one of them.
const MAX_WAYS: u64 = 100_000;

/// Field number of the name in a descriptor.
const NAME: i32 = 1;

/// Checks every message of the pool; of a chain that is too long, the message that makes it so.
pub(super) fn check(pool: &DescriptorPool, report: &mut Report<'_>) {
    let mut sizes = HashMap::new();
    for message in pool.all_messages() {
        measure(message, &mut sizes);
    }
    for message in pool.all_messages() {
        let size = |message: &MessageDescriptor| sizes.get(message.full_name()).copied().unwrap_or(LEAF);
        let own = size(&message);
        let inner = || inner(&message).into_iter().map(|inner| size(&inner));
        let problem = if own.depth > MAX_DEPTH && inner().all(|inner| inner.depth <= MAX_DEPTH) {
            format!("messages are nested more than {MAX_DEPTH} deep here; write a `repeated` field")
        } else if own.ways > MAX_WAYS && inner().all(|inner| inner.ways <= MAX_WAYS) {
            format!("messages are nested in more than {MAX_WAYS} ways here; write a `repeated` field")
        } else {
            continue;
        };
        let path = [message.path(), &[NAME]].concat();
        report.add(&message.parent_file(), &path, "MESSAGE_DEPTH", problem);
    }
}

#[derive(Clone, Copy)]
struct Size {
    /// Messages on the longest chain.
    depth: usize,
    /// Chains there are.
    ways: u64,
}

const LEAF: Size = Size { depth: 1, ways: 1 };

/// Measures a message after all that it contains, with a stack of our own: a chain may be long.
///
/// A chain that leads back counts as a leaf, because it gets a `Box`.
fn measure(message: MessageDescriptor, sizes: &mut HashMap<String, Size>) {
    let mut open = vec![(message, false)];
    while let Some((message, inner_is_measured)) = open.pop() {
        if inner_is_measured {
            let mut size = LEAF;
            for inner in inner(&message) {
                let inner = sizes.get(inner.full_name()).copied().unwrap_or(LEAF);
                size.depth = size.depth.max(inner.depth.saturating_add(1));
                size.ways = size.ways.saturating_add(inner.ways);
            }
            sizes.insert(message.full_name().to_owned(), size);
        } else if !sizes.contains_key(message.full_name()) {
            sizes.insert(message.full_name().to_owned(), LEAF);
            let inner = inner(&message);
            open.push((message, true));
            open.extend(inner.into_iter().map(|inner| (inner, false)));
        }
    }
}

/// The messages in singular fields.
fn inner(message: &MessageDescriptor) -> Vec<MessageDescriptor> {
    let singular = message.fields().filter(|field| !field.is_list());
    singular.filter_map(|field| field.kind().as_message().cloned()).collect()
}
