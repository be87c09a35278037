//! An object that does not fit: memory does not depend on its size.

use std::{
    env, fs, io,
    pin::Pin,
    process::Command,
    task::{Context, Poll},
};

use bytes::Bytes;
use subwire::Result;
use tokio::io::{AsyncRead, ReadBuf};

use crate::fixture::{nats, noise, objects};

/// In CI. The bound below holds for any size.
const SIZE: usize = 128 * 1024 * 1024;

/// What the process may grow.
const GROWTH: u64 = 32 * 1024 * 1024;

/// Set where the test runs alone in a process.
const ALONE: &str = "SUBWIRE_TEST_ALONE";

/// Bytes that nobody holds: a block, over and over, with its number in front.
struct Blocks {
    block: Bytes,
    read: usize,
}

impl Blocks {
    const BLOCK: usize = 100_000;

    fn new() -> Self {
        Self { block: noise(Self::BLOCK), read: 0 }
    }

    /// The bytes from here on, up to the next border between number and block.
    fn next(&self) -> Bytes {
        let (number, place) = (self.read / Self::BLOCK, self.read % Self::BLOCK);
        let head = number.to_le_bytes();
        let rest = SIZE - self.read;
        match head.get(place..) {
            Some(head) if !head.is_empty() => Bytes::copy_from_slice(&head[..head.len().min(rest)]),
            _ => self.block.slice(place..Self::BLOCK.min(place + rest)),
        }
    }
}

impl AsyncRead for Blocks {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut next = self.next();
        next.truncate(into.remaining());
        into.put_slice(&next);
        self.read += next.len();
        Poll::Ready(Ok(()))
    }
}

/// What the process holds, where the system tells.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_depend_on_the_size_of_an_object() -> Result<()> {
    if env::var_os(ALONE).is_none() {
        // Other tests of this process hold memory too.
        let test = "large::memory_does_not_depend_on_the_size_of_an_object";
        let this = env::current_exe().expect("this program");
        let run = Command::new(this).args(["--exact", test, "--nocapture"]).env(ALONE, "1").status();
        assert!(run.expect("it runs").success());
        return Ok(());
    }
    let nats = nats().await;
    let store = objects(&nats.bus).await;
    let before = resident();
    let info = store.put("large", Blocks::new()).await?;
    assert_eq!(info.size, SIZE as u64);
    let mut peak = resident();

    let mut object = store.get("large").await?;
    let mut expected = Blocks::new();
    while let Some(mut chunk) = object.chunk().await? {
        peak = peak.max(resident());
        while !chunk.is_empty() {
            let mut next = expected.next();
            next.truncate(chunk.len());
            assert!(chunk.split_to(next.len()) == next, "at {}", expected.read);
            expected.read += next.len();
        }
    }
    assert_eq!(expected.read, SIZE);
    if let (Some(before), Some(peak)) = (before, peak) {
        println!("{SIZE} bytes put and got: grew by {} MiB", peak.saturating_sub(before) >> 20);
        assert!(peak < before + GROWTH, "grew from {before} to {peak} bytes");
    }
    Ok(())
}
