//! What OpenTelemetry gets to know.

use std::collections::BTreeMap;

use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, Metric, MetricData},
};
use subwire::Status;

use crate::*;

/// The consumer of this test: others use the same provider.
const CONSUMER: &str = "metered";

fn is_ours<'a>(mut attributes: impl Iterator<Item = &'a KeyValue>) -> bool {
    attributes.any(|attribute| attribute.value.as_str() == CONSUMER)
}

fn attribute<'a>(mut attributes: impl Iterator<Item = &'a KeyValue>, key: &str) -> String {
    let found = attributes.find(|attribute| attribute.key.as_str() == key);
    found.map(|attribute| format!(" {key}={}", attribute.value)).unwrap_or_default()
}

/// Its last values, by name and what tells them apart.
fn values(metric: &Metric) -> Vec<(String, f64)> {
    let name = metric.name();
    match metric.data() {
        AggregatedMetrics::U64(MetricData::Sum(sum)) => sum
            .data_points()
            .filter(|point| is_ours(point.attributes()))
            .map(|point| (format!("{name}{}", attribute(point.attributes(), "outcome")), point.value() as f64))
            .collect(),
        AggregatedMetrics::U64(MetricData::Gauge(gauge)) => gauge
            .data_points()
            .filter(|point| is_ours(point.attributes()))
            .map(|point| (name.to_owned(), point.value() as f64))
            .collect(),
        AggregatedMetrics::F64(MetricData::Gauge(gauge)) => gauge
            .data_points()
            .filter(|point| is_ours(point.attributes()))
            .map(|point| (name.to_owned(), point.value()))
            .collect(),
        AggregatedMetrics::F64(MetricData::Histogram(histogram)) => histogram
            .data_points()
            .filter(|point| is_ours(point.attributes()))
            .map(|point| (format!("{name}{}", attribute(point.attributes(), "error.type")), point.count() as f64))
            .collect(),
        _ => Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_worker_does_is_measured() {
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    global::set_meter_provider(provider.clone());
    let broker = Broker::memory().await;
    broker.publish(0..10).await;
    let handler = async |_: Delivery, reading: Reading| -> Result<()> {
        match reading.value {
            0 => Err(Status::data_loss("no")),
            1 => std::future::pending().await,
            _ => Ok(()),
        }
    };
    let spec = ConsumerSpec { name: CONSUMER.into(), ..impatient() };
    let worker = Worker::builder(&broker.bus).handle(&spec, handler).grace(Duration::from_secs(30));
    let worker = started(worker).await;
    eventually("all but one", async || worker.monitor().counts().done == 8).await;
    // It reports every ten seconds, and when it stops.
    stopped(worker).await;
    provider.force_flush().expect("flushed");
    let finished = exporter.get_finished_metrics().expect("metrics");
    let metrics = finished.iter().flat_map(|all| all.scope_metrics()).flat_map(|scope| scope.metrics());
    let found: BTreeMap<_, _> = metrics.flat_map(values).collect();
    let age = found["subwire.worker.oldest_age"];
    assert!((10.0..31.0).contains(&age), "{age}");
    let expected = [
        ("messaging.process.duration", 9.0),
        ("messaging.process.duration error.type=DATA_LOSS", 1.0),
        ("subwire.worker.ack_pending", 1.0),
        ("subwire.worker.in_hand", 0.0),
        ("subwire.worker.messages outcome=dead_letter", 1.0),
        ("subwire.worker.messages outcome=done", 8.0),
        ("subwire.worker.messages outcome=failed", 1.0),
        ("subwire.worker.messages outcome=handed_back", 1.0),
        ("subwire.worker.oldest_age", age),
        ("subwire.worker.pending", 0.0),
        ("subwire.worker.redelivered", 0.0),
    ];
    assert!(found.iter().map(|(name, value)| (name.as_str(), *value)).eq(expected), "{found:?}");
}
