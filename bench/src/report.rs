//! Medians, ratios and how they are printed.

use crate::load::Measured;

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of what `value` is over the rounds of `one` divided by the same rounds of `other`.
pub(crate) fn ratio(one: &[Measured], other: &[Measured], value: fn(&Measured) -> f64) -> f64 {
    median(one.iter().zip(other).map(|(one, other)| value(one) / value(other)).collect())
}

pub(crate) fn print(name: &str, callers: usize, rounds: &[Measured]) {
    let middle = |value: fn(&Measured) -> f64| median(rounds.iter().map(value).collect());
    println!(
        "  {name:<28} {callers:>4} callers {:>9.0} calls/s   p50 {:>8.1} us   p99 {:>8.1} us{}",
        middle(|measured| measured.per_second),
        middle(|measured| measured.p50_us),
        middle(|measured| measured.p99_us),
        match middle(|measured| measured.client_us) {
            0.0 => String::new(),
            client => format!("   cpu {client:>5.1} + {:>5.1} us", middle(|measured| measured.service_us)),
        },
    );
}

/// A figure beside what was asked of it.
pub(crate) fn verdict(what: &str, figure: f64, unit: &str, goal: &str, met: bool) {
    println!("  {} {what}: {figure:.2}{unit} (goal {goal})", if met { "met   " } else { "missed" });
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(process: Option<u32>) -> anyhow::Result<u64> {
    let process = process.map_or("self".to_owned(), |id| id.to_string());
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: u64 = pages.split_whitespace().nth(1).unwrap_or_default().parse()?;
    Ok(pages * 4096)
}

/// Processor time a process has used, in seconds.
pub(crate) fn processor(process: Option<u32>) -> anyhow::Result<f64> {
    let process = process.map_or("self".to_owned(), |id| id.to_string());
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in brackets that may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / 100.0)
}
