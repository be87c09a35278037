//! [`Upload`]: the chunks of an object on their way.

use std::{collections::VecDeque, pin::pin};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{ObjectInfo, ObjectMeta, chunks, digest::Digest, error, store::Store};
use crate::{Executed, Result, Status, bus::Message, jetstream::Acknowledgement};

/// Bytes of a chunk: what other clients of NATS use.
pub(super) const CHUNK_BYTES: usize = 128 * 1024;

/// Chunks that may be on their way and not acknowledged: 2 MiB.
const WINDOW_CHUNKS: usize = 16;

/// The chunks of an object on their way. Dropped before it is kept, it takes them back.
struct Upload<'a> {
    store: &'a Store,
    info: ObjectInfo,
    digest: Digest,
    in_flight: VecDeque<Acknowledgement>,
    /// Whether the chunks may belong to an object, or are gone.
    kept: bool,
}

/// Reads to the end, and stores what comes.
pub(super) async fn put(store: &Store, meta: ObjectMeta, source: impl AsyncRead + Send) -> Result<ObjectInfo> {
    // Before anything is read.
    store.meta(&meta.name)?;
    store.janitor();
    let chunk_bytes = CHUNK_BYTES.min(store.streams.bus().max_payload());
    let mut upload = Upload {
        store,
        info: ObjectInfo::new(&store.name, meta, chunks::nuid()),
        digest: Digest::default(),
        in_flight: VecDeque::new(),
        kept: false,
    };
    let ended = match upload.read(source, chunk_bytes).await {
        Ok(()) => upload.keep(chunk_bytes).await,
        // Without an info there is no object, whatever became of the chunks.
        Err(status) => Err(status.with_executed(Executed::No)),
    };
    match ended {
        Ok(()) => Ok(upload.info.clone()),
        Err(status) => {
            upload.give_up(&status).await;
            Err(status)
        }
    }
}

impl Upload<'_> {
    async fn read(&mut self, source: impl AsyncRead + Send, chunk_bytes: usize) -> Result<()> {
        let mut source = pin!(source);
        loop {
            let mut chunk = BytesMut::with_capacity(chunk_bytes);
            while chunk.len() < chunk_bytes {
                let rest = chunk_bytes - chunk.len();
                let read = source.read_buf(&mut (&mut chunk).limit(rest)).await.map_err(error::source_failed)?;
                if read == 0 {
                    break;
                }
            }
            let is_last = chunk.len() < chunk_bytes;
            if !chunk.is_empty() {
                self.send(chunk.freeze()).await?;
            }
            if is_last {
                break;
            }
        }
        while self.acknowledged().await? {}
        Ok(())
    }

    async fn send(&mut self, chunk: Bytes) -> Result<()> {
        if self.in_flight.len() >= WINDOW_CHUNKS {
            self.acknowledged().await?;
        }
        self.digest.add(&chunk);
        self.info.size += chunk.len() as u64;
        self.info.chunks += 1;
        // Without a retry: a chunk that is sent again would come behind those after it.
        let message = Message::new(self.store.chunks.of(&self.info.nuid), chunk);
        self.in_flight.push_back(self.store.streams.publish(message).await?);
        Ok(())
    }

    /// Waits for the oldest chunk. `false`: there is none.
    async fn acknowledged(&mut self) -> Result<bool> {
        let Some(oldest) = self.in_flight.front_mut() else { return Ok(false) };
        let ended = oldest.await;
        self.in_flight.pop_front();
        ended.map(|_| true)
    }

    /// Makes an object of the chunks, and removes those of the version before.
    async fn keep(&mut self, chunk_bytes: usize) -> Result<()> {
        self.info.digest = Some(self.digest.text());
        // From here on nobody can tell, until there is an answer.
        self.kept = true;
        let replaced = self.store.replace(&mut self.info, Some(chunk_bytes as u64)).await?;
        if let Some(old) = replaced.filter(|old| old.chunks > 0) {
            self.store.chunks.purge(&old.nuid).await;
        }
        Ok(())
    }

    /// Takes the chunks back, unless an object may have been made of them.
    async fn give_up(&mut self, status: &Status) {
        if self.kept && status.executed() != Executed::No {
            return;
        }
        // What is on its way would arrive behind the purge.
        for ended in self.in_flight.drain(..) {
            drop(ended.await);
        }
        self.kept = false;
        if self.info.chunks > 0 {
            self.store.chunks.purge(&self.info.nuid).await;
        }
        self.kept = true;
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if !self.kept && self.info.chunks > 0 {
            // The first is for a store that is dropped with us, the second for what is on its way.
            self.store.chunks.purge_unseen(&self.info.nuid);
            self.store.janitor().take_back(&self.info.nuid, std::mem::take(&mut self.in_flight));
        }
    }
}
