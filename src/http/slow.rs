//! Bodies of requests that come too slowly: each has its time, and ends as an error after it, wherever it is read.
//! Knows nothing of what is in them. Spec: `protocol-spec/http.md`, Limits.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use hyper::body::Frame;
use tokio::time::{Sleep, sleep};

/// The body was not there after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooSlow(Duration);

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body took longer than {:?}", self.0)
    }
}

impl Error for TooSlow {}

impl TooSlow {
    /// The same in what an error comes from.
    pub(super) fn within(error: &(dyn Error + 'static)) -> Option<Self> {
        error.downcast_ref().copied().or_else(|| Self::within(error.source()?))
    }
}

/// A body that ends at its time.
struct Timed {
    body: Body,
    time: Duration,
    end: Pin<Box<Sleep>>,
}

impl hyper::body::Body for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // The time first: a body that always has a byte more is no quicker for it.
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(axum::Error::new(TooSlow(self.time)))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}

/// Gives the body of a request its time, which begins here.
pub(super) fn timed(request: Request, time: Duration) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    request.map(|body| Body::new(Timed { body, time, end: Box::pin(sleep(time)) }))
}
