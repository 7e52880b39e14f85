//! A response body written by a future, at the pace of the connection: the future hands over a piece and rests
//! until the connection has taken it and asks for more. So a reader that stalls holds one piece and no queue.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
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

/// A body that is being written.
pub(super) struct Writing {
    slot: Arc<Mutex<Option<Bytes>>>,
    /// `None` when it has ended.
    future: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send>>>,
    /// Lives as long as this.
    kept: Option<Box<dyn Send>>,
    held: bool,
}

impl Writing {
    /// Its head may go out together with its first piece.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// The next piece, when there is one; `None` behind the last. Whoever takes one wants the next.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(future) = &mut self.future else { return Poll::Ready(None) };
        let ended = future.as_mut().poll(context);
        if let Some(piece) = self.slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Poll::Ready(Some(Ok(piece)));
        }
        let Poll::Ready(result) = ended else { return Poll::Pending };
        self.future = None;
        self.kept = None;
        Poll::Ready(result.err().map(Err))
    }
}

/// The handle of a body in the extensions of its response: by it the connection takes the writing over.
#[derive(Clone)]
pub(super) struct Pad(Arc<Mutex<Option<Writing>>>);

impl Pad {
    fn lock(&self) -> MutexGuard<'_, Option<Writing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps something until the body is written or nobody reads it any more.
    pub(super) fn keep(&self, kept: Box<dyn Send>) {
        if let Some(writing) = self.lock().as_mut() {
            writing.kept = Some(kept);
        }
    }

    /// Takes the writing away from the body, which has nothing to say from then on and does not end.
    pub(super) fn take(&self) -> Option<Writing> {
        self.lock().take()
    }
}

/// Gives a response a body that is written by a future. An error ends the connection without the end of the body,
/// so that the reader knows that something is missing.
pub(super) fn body<F>(response: &mut Response, write: impl FnOnce(Pen) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    put(response, write, false);
}

/// As [`body`], for an answer whose reader waits for its end: the head need not go out before the first piece.
pub(super) fn held<F>(response: &mut Response, write: impl FnOnce(Pen) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    put(response, write, true);
}

fn put<F>(response: &mut Response, write: impl FnOnce(Pen) -> F, held: bool)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let future = write(Pen(Arc::clone(&slot)));
    let writing = Writing { slot, future: Some(Box::pin(future)), kept: None, held };
    let pad = Pad(Arc::new(Mutex::new(Some(writing))));
    *response.body_mut() = Body::new(Written(pad.clone()));
    response.extensions_mut().insert(pad);
}

struct Written(Pad);

impl hyper::body::Body for Written {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.0.lock().as_mut() {
            Some(writing) => {
                writing.poll_piece(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn written<F>(write: impl FnOnce(Pen) -> F) -> Body
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let mut response = Response::default();
        body(&mut response, write);
        response.into_body()
    }

    #[tokio::test]
    async fn pieces_arrive_in_order_and_none_is_made_before_it_is_wanted() {
        let made = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&made);
        let mut body = written(|mut pen| async move {
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
        let mut body = written(|mut pen| async move {
            pen.put("a").await;
            Err(io::Error::other("broken"))
        });
        assert!(body.frame().await.expect("a frame").is_ok());
        assert!(body.frame().await.expect("the error").is_err());
        assert!(body.frame().await.is_none());
    }
}
