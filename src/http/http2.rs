//! A connection of HTTP/2: many requests at once, each answered as any other. Only over TLS, where both sides agreed.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;

use super::connection::{BUFFER, Desk, Io};
use super::guard::Peer;
use super::stopped;

/// Requests at once on one connection.
const STREAMS: u32 = 100;
/// Requests that were taken back before anybody looked at them (CVE-2023-44487).
const TAKEN_BACK: usize = 20;
/// What is kept of an answer that the other side does not take, for each request.
const SEND_BUFFER: usize = 64 * 1024;
/// How much of bodies may be on its way to us: a few of the largest.
const WINDOW: u32 = 256 * 1024;
/// After this much silence the other side is asked whether it is there, and given as long to answer as a write.
const PING: Duration = Duration::from_secs(20);

struct Clerk {
    desk: Arc<Desk>,
    peer: Peer,
}

impl Service<Request<Incoming>> for Clerk {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        Box::pin(self.desk.answer(request, self.peer))
    }
}

/// Answers requests until the other side, a limit or the server ends it.
pub(super) async fn connection(io: Io, peer: Peer, desk: Arc<Desk>, mut stop: watch::Receiver<bool>) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(TAKEN_BACK)
        .max_header_list_size(u32::try_from(BUFFER).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW / 4)
        .keep_alive_interval(PING)
        .keep_alive_timeout(desk.stall);
    let mut served = pin!(builder.serve_connection(TokioIo::new(io), Clerk { desk, peer }));
    let mut stopping = false;
    let mut stop = pin!(stopped(&mut stop));
    let ended = poll_fn(|context| {
        if !stopping && stop.as_mut().poll(context).is_ready() {
            stopping = true;
            served.as_mut().graceful_shutdown();
        }
        match served.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "an HTTP/2 connection ended early");
    }
}
