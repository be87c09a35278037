//! [`Streaming`]: a stream of messages, and how to make one.

mod decoder;
mod encoder;
mod messages;
mod slot;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
};

use futures_util::{Stream, StreamExt, stream};

use self::messages::{Messages, Pause, Take};
pub use self::slot::Sender;
pub(crate) use self::{decoder::Decoder, encoder::Encoder};
use crate::{Metadata, Result};

/// A stream of messages: what a handler returns and what a caller reads.
///
/// Dropping it cancels the call on the other side. After an error, or after the end, it stays at
/// its end. Reading is what grants the other side room to send: a stream that nobody reads stops
/// its sender and costs at most one window of memory.
///
/// ```
/// # async fn run() -> subwire::Result<()> {
/// let mut numbers = subwire::Streaming::produce(async move |numbers| {
///     for n in 1..=3 {
///         numbers.send(n).await?;
///     }
///     Ok(())
/// });
/// while let Some(n) = numbers.message().await? {
///     println!("{n}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct Streaming<T> {
    source: Source<T>,
}

enum Source<T> {
    /// Made here.
    Local(Pin<Box<dyn Messages<T> + Send>>),
    /// Come from the other side.
    Remote(Box<Decoder<T>>),
    /// Over.
    Ended { metadata: Metadata, trailers: Metadata },
}

impl<T: Send + 'static> Streaming<T> {
    /// A stream over any stream of results. The first `Err` ends it.
    pub fn new(stream: impl Stream<Item = Result<T>> + Send + 'static) -> Self {
        Self { source: Source::Local(Box::pin(stream)) }
    }

    /// A stream of these messages.
    #[expect(clippy::should_implement_trait, reason = "FromIterator cannot ask for a Send + 'static iterator")]
    pub fn from_iter<I>(messages: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        Self::new(stream::iter(messages.into_iter().map(Ok)))
    }

    /// A stream written by `produce`, which runs only while the stream is read and is dropped with it.
    ///
    /// Nothing is spawned: the closure runs inside the stream's own poll. `send` waits while the
    /// reader is slow. An `Err` from `produce` is the last item of the stream.
    pub fn produce<Fut>(produce: impl FnOnce(Sender<T>) -> Fut) -> Self
    where
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let (sender, receiver) = slot::channel();
        Self::new(slot::Producer::new(produce(sender), receiver))
    }

    /// A stream and the sender that writes it from elsewhere: for a conversation.
    ///
    /// The stream ends when the last clone of the sender is dropped.
    pub fn channel() -> (Sender<T>, Self) {
        let (sender, receiver) = slot::channel();
        (sender, Self::new(receiver))
    }
}

impl<T> Streaming<T> {
    pub(crate) fn remote(decoder: Decoder<T>) -> Self {
        Self { source: Source::Remote(Box::new(decoder)) }
    }

    /// What made the messages goes now, not when the reader gets round to dropping us.
    #[cold]
    fn end(&mut self) {
        let (metadata, trailers) = match &mut self.source {
            Source::Local(_) => Default::default(),
            Source::Remote(decoder) => (std::mem::take(&mut decoder.metadata), decoder.trailers()),
            Source::Ended { .. } => return,
        };
        self.source = Source::Ended { metadata, trailers };
    }

    /// Shows the messages that are ready to `take`, one after the other.
    fn poll_each(&mut self, cx: &mut TaskContext<'_>, take: &mut dyn FnMut(&T) -> Take) -> Pause<T> {
        let pause = match &mut self.source {
            Source::Local(messages) => messages.as_mut().poll_each(cx, take),
            Source::Remote(_) | Source::Ended { .. } => return Messages::poll_each(Pin::new(self), cx, take),
        };
        if matches!(pause, Pause::End(_)) {
            self.end();
        }
        pause
    }

    /// The next message; `None` is the end, and only when the other side said that it is.
    ///
    /// Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// Whatever the other side ended with; `UNAVAILABLE` when it died, went silent, or a part of
    /// the stream was lost; `DEADLINE_EXCEEDED`.
    pub async fn message(&mut self) -> Result<Option<T>> {
        self.next().await.transpose()
    }

    /// What the other side sent before the first message. Empty for a stream made here.
    pub fn metadata(&self) -> &Metadata {
        match &self.source {
            Source::Local(_) => const { &Metadata::new() },
            Source::Remote(decoder) => &decoder.metadata,
            Source::Ended { metadata, .. } => metadata,
        }
    }

    /// What the other side sent after the last message. Empty until the stream has ended.
    pub fn trailers(&self) -> &Metadata {
        match &self.source {
            Source::Ended { trailers, .. } => trailers,
            _ => const { &Metadata::new() },
        }
    }
}

impl<T> Stream for Streaming<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let next = match &mut self.source {
            Source::Local(messages) => messages.as_mut().poll_next(cx),
            Source::Remote(decoder) => {
                ready!(decoder.poll_fill(cx));
                if decoder.has_message() {
                    // Straight to the reader: most of what a message costs here is moving it.
                    return Poll::Ready(decoder.next());
                }
                Poll::Ready(decoder.next())
            }
            Source::Ended { .. } => Poll::Ready(None),
        };
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.end();
        }
        next
    }
}

impl<T> Unpin for Streaming<T> {}

impl<T: Send + 'static> From<Vec<T>> for Streaming<T> {
    fn from(messages: Vec<T>) -> Self {
        Self::from_iter(messages)
    }
}

impl<T: Send + 'static, const N: usize> From<[T; N]> for Streaming<T> {
    fn from(messages: [T; N]) -> Self {
        Self::from_iter(messages)
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::Local(_) => "Streaming(local)",
            Source::Remote(_) => "Streaming(remote)",
            Source::Ended { .. } => "Streaming(ended)",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        Code, Status,
        message::{Batches, Room},
    };

    #[tokio::test]
    async fn a_failure_is_the_last_item_of_a_stream() -> Result<()> {
        let mut numbers = Streaming::produce(async move |out| {
            out.send(1).await?;
            Err(Status::invalid_argument("stop"))
        });
        assert_eq!(numbers.message().await?, Some(1));
        assert_eq!(numbers.message().await.expect_err("the failure").code(), Code::InvalidArgument);
        assert_eq!(numbers.message().await?, None);
        Ok(())
    }

    /// The same stream after it was encoded and decoded.
    fn passed_on(messages: Streaming<String>) -> Streaming<String> {
        let decode = |entries: &mut _, decoded: &mut _| {
            crate::message::decode_entries(entries, decoded, |error| Status::internal(error.to_string()));
        };
        Streaming::remote(Decoder::new(Box::new(Encoder::request(messages)), decode, Metadata::new(), None))
    }

    #[tokio::test]
    async fn a_stream_that_is_passed_on_keeps_its_messages_and_its_failure() -> Result<()> {
        // Some larger than a batch, some empty, and now and then none is ready.
        let text = |n: usize| "x".repeat(if n.is_multiple_of(100) { 20_000 } else { n % 90 });
        let made = Streaming::produce(async move |out| {
            for n in 0..5_000 {
                out.send(text(n)).await?;
                if n % 70 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Err(Status::invalid_argument("stop"))
        });
        let mut texts = passed_on(passed_on(made));
        for n in 0..5_000 {
            assert_eq!(texts.message().await?, Some(text(n)), "{n}");
        }
        assert_eq!(texts.message().await.expect_err("the failure").code(), Code::InvalidArgument);
        assert_eq!(texts.message().await?, None);
        Ok(())
    }

    #[tokio::test]
    async fn a_batch_holds_what_fits_or_two_messages() -> Result<()> {
        for (sizes, expected) in [
            (vec![1_000; 16], vec![7, 7, 2]),
            (vec![4_100; 5], vec![2, 2, 1]),
            (vec![7_900; 4], vec![2, 2]),
            (vec![8_100, 10, 8_100, 10], vec![1, 1, 1, 1]),
            (vec![10, 10, 7_990, 10], vec![2, 2]),
        ] {
            let texts: Vec<_> = sizes.iter().map(|size| "x".repeat(*size)).collect();
            let mut encoder = Encoder::request(Streaming::from(texts));
            let mut batches = Vec::new();
            while let Some(batch) = std::future::poll_fn(|cx| encoder.poll_batch(cx, Room::FRAME)).await {
                batches.push(batch?.messages());
            }
            assert_eq!(batches, expected, "{sizes:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn dropping_a_stream_drops_its_producer() -> Result<()> {
        let alive = Arc::new(());
        let held = alive.clone();
        let mut numbers = Streaming::produce(async move |out| {
            let _held = held;
            loop {
                out.send(0).await?;
            }
        });
        assert_eq!(numbers.message().await?, Some(0));
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(numbers);
        assert_eq!(Arc::strong_count(&alive), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_sender_waits_for_its_reader_and_learns_that_it_left() -> Result<()> {
        let (sender, mut numbers) = Streaming::channel();
        let writer = tokio::spawn(async move {
            let mut sent = 0u32;
            while sender.send(sent).await.is_ok() {
                sent += 1;
            }
            sent
        });
        for n in 0..1000 {
            assert_eq!(numbers.message().await?, Some(n));
        }
        drop(numbers);
        let sent = writer.await.expect("the writer ends");
        assert!((1000..1100).contains(&sent), "{sent}");
        Ok(())
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_last_sender() -> Result<()> {
        let (sender, mut numbers) = Streaming::channel();
        let second = sender.clone();
        drop(sender);
        second.send(7).await?;
        drop(second);
        assert_eq!(numbers.message().await?, Some(7));
        assert_eq!(numbers.message().await?, None);
        Ok(())
    }
}
