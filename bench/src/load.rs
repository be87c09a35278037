//! A number of callers, each with one call at a time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

/// What a load measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) calls: f64,
    /// Processor time of the caller, for each call.
    pub(crate) client_us: f64,
    /// Processor time of the service, for each call.
    pub(crate) service_us: f64,
}

/// Calls for `seconds` from `callers` tasks.
pub(crate) async fn drive<F, Fut>(callers: usize, seconds: f64, call: F) -> anyhow::Result<Measured>
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send,
{
    for _ in 0..200 {
        call().await?;
    }
    let started = Instant::now();
    let stop = started + Duration::from_secs_f64(seconds);
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let call = call.clone();
            tokio::spawn(async move {
                // A histogram for each caller does not fit the cache, and costs the call itself up to a tenth.
                let mut times = Vec::<u32>::new();
                let mut before = Instant::now();
                while before < stop {
                    call().await?;
                    let after = Instant::now();
                    times.push(u32::try_from((after - before).as_nanos()).unwrap_or(u32::MAX));
                    before = after;
                }
                anyhow::Ok(times)
            })
        })
        .collect();
    let mut all = Histogram::<u64>::new(3)?;
    for task in tasks {
        for time in task.await?? {
            all.record(time.into())?;
        }
    }
    let us = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
    let calls = all.len() as f64;
    let per_second = calls / started.elapsed().as_secs_f64();
    Ok(Measured { per_second, p50_us: us(0.5), p99_us: us(0.99), calls, client_us: 0.0, service_us: 0.0 })
}
