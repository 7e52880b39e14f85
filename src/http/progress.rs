//! A connection whose writes must make progress: one that has waited too long fails, and with it the connection.
//! While writes go through it costs a pointer; the timer exists only while one waits. It knows whether everything
//! was written, and keeps what was read too early.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::stream::Stream;

/// What may be read while nobody wants it: a request that comes before the last one is answered. More waits in
/// the kernel.
const AHEAD_MAX: usize = 16 * 1024;
/// Bytes looked for at once while nothing is expected.
const LOOK: usize = 64;

/// An I/O object with a limit on how long a write may wait.
#[derive(Debug)]
pub(super) struct Progress<T> {
    io: T,
    stall: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    flushed: Arc<AtomicBool>,
    /// Read already, and still to be read by whoever reads next.
    ahead: Vec<u8>,
}

impl<T> Progress<T> {
    /// Fails a write that waits for longer than `stall`.
    pub(super) fn new(io: T, stall: Duration) -> Self {
        Self { io, stall, waiting: None, flushed: Arc::default(), ahead: Vec::new() }
    }

    /// True from a flush until somebody says otherwise: whoever owes bytes sets it to false before.
    pub(super) fn flushed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flushed)
    }

    /// Puts bytes back that were read and not used.
    pub(super) fn give_back(&mut self, bytes: &[u8]) {
        self.ahead.splice(0..0, bytes.iter().copied());
    }

    fn judge(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let timer = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.stall)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the reader took nothing for too long")))
    }
}

impl Progress<Stream> {
    /// Ready when there is something to read, or the other side is gone.
    pub(super) async fn readable(&mut self) -> io::Result<()> {
        if !self.ahead.is_empty() {
            return Ok(());
        }
        match &mut self.io {
            Stream::Plain(stream) => stream.readable().await,
            // That bytes came does not mean that there is something in them.
            Stream::Tls(stream) => {
                let mut bytes = [0; LOOK];
                let count = stream.read(&mut bytes).await?;
                self.ahead.extend_from_slice(&bytes[..count]);
                if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
            }
        }
    }
}

impl<T: AsyncRead + Unpin> Progress<T> {
    /// Ready when the other side is gone. What it says meanwhile is kept for the next read.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        while self.ahead.len() < AHEAD_MAX {
            let mut bytes = [0; LOOK];
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer)) {
                Err(error) => return Poll::Ready(error),
                Ok(()) if buffer.filled().is_empty() => {
                    return Poll::Ready(io::ErrorKind::ConnectionAborted.into());
                }
                Ok(()) => self.ahead.extend_from_slice(buffer.filled()),
            }
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Progress<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Progress<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.judge(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(context))?;
        self.flushed.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_write_that_waits_too_long_fails() {
        let (near, _far) = tokio::io::duplex(4);
        let mut near = Progress::new(near, Duration::from_millis(30));
        let stalled = near.write_all(b"12345").await.expect_err("nobody reads");
        assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_comes_too_early_is_kept_in_order_and_an_end_is_noticed() {
        let (near, mut far) = tokio::io::duplex(256);
        let mut near = Progress::new(near, Duration::from_hours(1));
        let text: Vec<u8> = (0..2 * LOOK as u8).collect();
        far.write_all(&text[1..]).await.expect("fits");
        std::future::poll_fn(|context| {
            assert!(near.poll_gone(context).is_pending());
            Poll::Ready(())
        })
        .await;
        near.give_back(&text[..1]);
        let mut read = vec![0; text.len()];
        near.read_exact(&mut read).await.expect("all of it");
        assert_eq!(read, text);
        drop(far);
        let gone = std::future::poll_fn(|context| near.poll_gone(context)).await;
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn progress_ends_the_waiting() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut near = Progress::new(near, Duration::from_hours(1));
        near.write_all(b"1234").await.expect("fits");
        let mut second = Box::pin(near.write_all(b"5678"));
        std::future::poll_fn(|context| {
            assert!(second.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(second);
        assert!(near.waiting.is_some());
        far.read_exact(&mut [0; 4]).await.expect("four bytes");
        near.write_all(b"5678").await.expect("fits again");
        assert!(near.waiting.is_none());
    }
}
