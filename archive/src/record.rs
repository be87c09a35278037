//! [`Record`]: an event as it goes into the table.

use std::time::SystemTime;

use bytes::Bytes;
use deadpool_postgres::Client;
use serde_json::{Map, Value};
use subwire::{Delivery, Event, bus::Headers};
use tokio_postgres::Error;

use crate::Facts;

/// An event as it goes into the table.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) stream: String,
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) type_name: &'static str,
    pub(crate) facts: Facts,
    pub(crate) published_at: SystemTime,
    pub(crate) headers: Value,
    pub(crate) payload: Bytes,
}

impl Record {
    /// The payload stays as it was published, as the event may have fields that this program's schema
    /// does not know.
    pub(crate) fn new<E: Event>(delivery: &Delivery, facts: Facts) -> Self {
        Self {
            stream: delivery.stream().to_owned(),
            sequence: delivery.sequence(),
            subject: delivery.subject().to_string(),
            type_name: E::INFO.name,
            facts,
            published_at: delivery.time(),
            headers: to_json(delivery.headers()),
            payload: delivery.payload().clone(),
        }
    }
}

/// Twice is once. Arrays, so that it is one statement to prepare and one answer to wait for, however
/// many there are.
const INSERT: &str = "
    INSERT INTO events (stream, sequence, subject, type, agent, kind, published_at, headers, payload)
    SELECT * FROM unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::timestamptz[], $8::jsonb[], $9::bytea[]
    )
    ON CONFLICT DO NOTHING";

/// Stores all of them, or none.
pub(crate) async fn insert(client: &Client, mut records: Vec<&Record>) -> Result<(), Error> {
    /// One column of them.
    fn column<'a, T>(records: &[&'a Record], of: impl Fn(&'a Record) -> T) -> Vec<T> {
        records.iter().map(|record| of(record)).collect()
    }
    // Two who write the same ones at the same time would lock one another out, were their orders not the same.
    records.sort_unstable_by_key(|record| (&record.stream, record.sequence));
    let insert = client.prepare_cached(INSERT).await?;
    // No stream gets as far as the sign bit.
    let sequences = column(&records, |record| record.sequence.cast_signed());
    client
        .execute(
            &insert,
            &[
                &column(&records, |record| record.stream.as_str()),
                &sequences,
                &column(&records, |record| record.subject.as_str()),
                &column(&records, |record| record.type_name),
                &column(&records, |record| record.facts.agent.as_deref()),
                &column(&records, |record| record.facts.kind.as_deref()),
                &column(&records, |record| record.published_at),
                &column(&records, |record| &record.headers),
                &column(&records, |record| record.payload.as_ref()),
            ],
        )
        .await
        .map(drop)
}

/// `{"name": ["value", ..], ..}`, since a name may have several values.
fn to_json(headers: &Headers) -> Value {
    let mut names = Map::new();
    for (name, value) in headers.iter() {
        let values = names.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(Value::from(value));
        }
    }
    Value::Object(names)
}

/// The way back. The names come in another order.
pub(crate) fn from_json(names: Value) -> Headers {
    let mut headers = Headers::new();
    let Value::Object(names) = names else { return headers };
    for (name, values) in names {
        let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
        values.for_each(|value| headers.append(name.clone(), value));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_with_every_value() {
        let mut headers = Headers::new();
        headers.append("Nats-Msg-Id", "7");
        headers.append("tag", "a\r\n\u{1f980}");
        headers.append("tag", "b");
        assert_eq!(from_json(to_json(&headers)), headers);
    }
}
