//! A response body written by a future, at the pace of the connection: the future hands over a piece and rests
//! until the connection has taken it and asks for more. So a reader that stalls holds one piece and no queue.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::Frame;

/// Where the future puts its pieces.
#[derive(Debug)]
pub(super) struct Pen(Arc<Mutex<Option<Bytes>>>);

impl Pen {
    /// Hands over a piece; ready when the connection wants the next one. An empty piece is not sent.
    pub(super) async fn put(&mut self, piece: impl Into<Bytes>) {
        let piece = piece.into();
        if piece.is_empty() {
            return;
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(piece);
        // No waker is needed: whoever takes the piece polls the future again before it asks for another.
        poll_fn(|_| match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(_) => Poll::Pending,
            None => Poll::Ready(()),
        })
        .await;
    }
}

struct Written<F> {
    slot: Arc<Mutex<Option<Bytes>>>,
    future: Option<Pin<Box<F>>>,
}

/// A body written by a future. An error ends the connection without the end of the body, so that the reader
/// knows that something is missing.
pub(super) fn body<F>(write: impl FnOnce(Pen) -> F) -> Body
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let future = write(Pen(Arc::clone(&slot)));
    Body::new(Written { slot, future: Some(Box::pin(future)) })
}

impl<F: Future<Output = io::Result<()>> + Send> hyper::body::Body for Written<F> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(future) = &mut self.future else { return Poll::Ready(None) };
        let ended = future.as_mut().poll(context);
        if let Some(piece) = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Poll::Ready(result) = ended else { return Poll::Pending };
        self.future = None;
        Poll::Ready(result.err().map(Err))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_order_and_none_is_made_before_it_is_wanted() {
        let made = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&made);
        let mut body = body(|mut pen| async move {
            for piece in ["a", "b", "", "c"] {
                *counter.lock().expect("not poisoned") += 1;
                pen.put(piece).await;
            }
            Ok(())
        });
        let first = body.frame().await.expect("a frame").expect("no error").into_data().expect("data");
        assert_eq!(first, "a");
        assert_eq!(*made.lock().expect("not poisoned"), 1);
        assert_eq!(body.collect().await.expect("no error").to_bytes(), "bc");
    }

    #[tokio::test]
    async fn an_error_is_told_once_and_ends_the_body() {
        let mut body = body(|mut pen| async move {
            pen.put("a").await;
            Err(io::Error::other("broken"))
        });
        assert!(body.frame().await.expect("a frame").is_ok());
        assert!(body.frame().await.expect("the error").is_err());
        assert!(body.frame().await.is_none());
    }
}
