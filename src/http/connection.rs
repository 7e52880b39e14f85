//! One connection. Hyper reads requests and writes answers, by its http1 builder directly: it has a limit on
//! reading heads, and half the memory of the builder that guesses versions. A body that is written over time is
//! taken over: then hyper and its 16 KB of buffers go, and come back for the next request. The head of a stream is
//! out by then; that of a held answer goes with the first piece of its body, for one write costs half of two.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Version, header};
use axum::response::Response;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tower_service::Service as _;

use super::guard::{self, Peer, Rules};
use super::limits::{Limits, shows_token};
use super::pen::{Pad, Writing};
use super::progress::Progress;
use super::stopped;
use super::stream::Stream;

/// Buffer of a connection, hence the largest request head.
pub(super) const BUFFER: usize = 16 * 1024;
/// Pieces that are ready at once are written together up to this size.
const TOGETHER: usize = 64 * 1024;
/// The end of a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The bytes of a connection, with a limit on waiting.
pub(super) type Io = Progress<Stream>;

/// What all connections of a server share.
#[derive(Clone)]
pub(super) struct Desk {
    /// Where admitted requests go.
    pub(super) router: Router,
    /// Which requests are admitted.
    pub(super) rules: Rules,
    /// Counts of who asks how much.
    pub(super) limits: Arc<Limits>,
    /// A request's head must be complete after this time.
    pub(super) head_time: Duration,
    /// A write that makes no progress for this long ends the connection.
    pub(super) stall: Duration,
}

/// Answers requests until the other side, a limit or the server ends it.
pub(super) async fn connection(mut io: Io, peer: Peer, desk: Arc<Desk>, mut stop: watch::Receiver<bool>) {
    let mut head_time = desk.head_time;
    loop {
        let taken = match exchange(io, (&desk, peer), head_time, &mut stop).await {
            Ok(None) => return,
            Ok(Some(taken)) => taken,
            Err(error) => return tracing::debug!(%error, "an HTTP connection ended early"),
        };
        io = taken.io;
        let keep = taken.offer.keep;
        if let Err(error) = write(&mut io, taken.offer).await {
            return tracing::debug!(%error, "an HTTP body ended early");
        }
        if !keep {
            let _ = io.shutdown().await;
            return;
        }
        let Some(left) = next(&mut io, desk.head_time, &mut stop).await else { return };
        head_time = left;
    }
}

/// Waits for another request without hyper and its buffers; gives the time that is left for its head. `None`: it
/// does not come, or the server ends.
async fn next(io: &mut Io, head_time: Duration, stop: &mut watch::Receiver<bool>) -> Option<Duration> {
    let start = Instant::now();
    tokio::select! {
        biased;
        () = stopped(stop) => None,
        came = timeout(head_time, io.readable()) => {
            matches!(came, Ok(Ok(()))).then(|| head_time.saturating_sub(start.elapsed()))
        }
    }
}

/// A body that may be taken over once everything before it is out.
struct Offer {
    /// What is still to be written before the first piece, without its date and its end; empty when it is out.
    head: Vec<u8>,
    writing: Writing,
    /// Another request may follow it.
    keep: bool,
}

/// A connection that was taken back from hyper.
struct Taken {
    io: Io,
    offer: Offer,
}

/// Requests and answers through hyper; until the connection ends or is taken over.
async fn exchange(
    io: Io,
    (desk, peer): (&Arc<Desk>, Peer),
    head_time: Duration,
    stop: &mut watch::Receiver<bool>,
) -> hyper::Result<Option<Taken>> {
    let counter = Arc::new(Counter { offer: Mutex::default(), flushed: io.flushed() });
    let clerk = Clerk { desk: Arc::clone(desk), peer, counter: Arc::clone(&counter) };
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_time).max_buf_size(BUFFER);
    let mut served = builder.serve_connection(TokioIo::new(io), clerk);
    let mut stopping = false;
    let mut stop = pin!(stopped(stop));
    let offer = poll_fn(|context| {
        if !stopping && stop.as_mut().poll(context).is_ready() {
            stopping = true;
            Pin::new(&mut served).graceful_shutdown();
        }
        match Pin::new(&mut served).poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended.map(|()| None)),
            // The answer was made, and what goes before it flushed, within this call or a later one.
            Poll::Pending => counter.take().map_or(Poll::Pending, |offer| Poll::Ready(Ok(Some(offer)))),
        }
    })
    .await?;
    Ok(offer.map(|offer| {
        let parts = served.into_parts();
        let mut io = parts.io.into_inner();
        io.give_back(&parts.read_buf);
        Taken { io, offer }
    }))
}

/// Between the service, which offers a body, and the connection, which takes it once everything before it is out.
struct Counter {
    offer: Mutex<Option<Offer>>,
    flushed: Arc<AtomicBool>,
}

impl Counter {
    fn put(&self, offer: Offer) {
        // The head, or the end of the answer before, is owed from now on.
        self.flushed.store(false, Ordering::Relaxed);
        *self.offer.lock().unwrap_or_else(PoisonError::into_inner) = Some(offer);
    }

    fn take(&self) -> Option<Offer> {
        let flushed = self.flushed.load(Ordering::Relaxed);
        flushed.then(|| self.offer.lock().unwrap_or_else(PoisonError::into_inner).take()).flatten()
    }
}

/// Guard and router, with an eye on bodies that can be taken over.
struct Clerk {
    desk: Arc<Desk>,
    peer: Peer,
    counter: Arc<Counter>,
}

impl Service<Request<Incoming>> for Clerk {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // A body can only be in chunks from HTTP/1.1 on, HEAD has none, and what a request brings must be read first.
        let plain = request.version() == Version::HTTP_11
            && request.method() == Method::GET
            && request.body().is_end_stream();
        let keep = !asks_to_close(request.headers());
        let (answer, counter) = (self.desk.answer(request, self.peer), Arc::clone(&self.counter));
        Box::pin(async move {
            let mut response = answer.await?;
            let pad = response.extensions_mut().remove::<Pad>();
            let Some(writing) = pad.filter(|_| plain).and_then(|pad| pad.take()) else { return Ok(response) };
            if writing.is_held() {
                counter.put(Offer { head: head(&response, keep), writing, keep });
                drop(response);
                // The connection is taken over before hyper hears of this answer.
                return pending().await;
            }
            counter.put(Offer { head: Vec::new(), writing, keep });
            Ok(response)
        })
    }
}

impl Desk {
    /// Answers a request: by the guard, or by whom it lets it pass to.
    pub(super) fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + use<> {
        let (mut parts, body) = request.into_parts();
        let peer = peer.behind(&self.rules, &parts.headers);
        let reader = guard::reader(&self.rules, &parts);
        let refusal = guard::refuse(&self.rules, &parts, !body.is_end_stream(), peer)
            .or_else(|| self.limits.kept_out(&parts, peer));
        let shows_token = shows_token(&parts);
        parts.extensions.insert(peer);
        let desk = Arc::clone(self);
        async move {
            let mut response = match refusal {
                Some(refusal) => refusal,
                None => {
                    desk.router.clone().call(Request::from_parts(parts, axum::body::Body::new(body))).await?
                }
            };
            if shows_token && response.status() == StatusCode::UNAUTHORIZED {
                desk.limits.wrong_token(peer);
            }
            guard::dress(&desk.rules, reader, &mut response);
            Ok(response)
        }
    }
}

fn asks_to_close(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("close"))
}

/// The head of an answer in chunks (RFC 9112 §4, §7.1), but for its date and the empty line.
fn head(response: &Response, keep: bool) -> Vec<u8> {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes =
        format!("HTTP/1.1 {} {reason}\r\ntransfer-encoding: chunked\r\n", status.as_str()).into_bytes();
    if !keep {
        bytes.extend_from_slice(b"connection: close\r\n");
    }
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.shrink_to_fit();
    bytes
}

/// Dates and ends a head that goes out now (RFC 9110 §6.6.1).
fn date(head: &mut Vec<u8>) {
    head.extend_from_slice(b"date: ");
    // Writing into memory fails for years beyond 9999 only; a head without a date is better than none.
    let _ = DateTimePrinter::new().print_timestamp_rfc9110(&Timestamp::now(), &mut *head);
    head.extend_from_slice(b"\r\n\r\n");
}

/// Writes a body in chunks, behind its head.
async fn write(io: &mut Io, Offer { mut head, mut writing, .. }: Offer) -> io::Result<()> {
    loop {
        let mut bytes = Vec::new();
        let ended = poll_fn(|context| {
            if let Poll::Ready(gone) = io.poll_gone(context) {
                return Poll::Ready(Err(gone));
            }
            while bytes.len() < TOGETHER {
                match writing.poll_piece(context) {
                    Poll::Ready(Some(piece)) => chunk(&mut bytes, &piece?),
                    Poll::Ready(None) => {
                        bytes.extend_from_slice(LAST_CHUNK);
                        return Poll::Ready(Ok(true));
                    }
                    Poll::Pending if bytes.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(false))
        })
        .await?;
        if !head.is_empty() {
            date(&mut head);
            head.append(&mut bytes);
            bytes = std::mem::take(&mut head);
        }
        io.write_all(&bytes).await?;
        if ended {
            return Ok(());
        }
    }
}

fn chunk(bytes: &mut Vec<u8>, piece: &[u8]) {
    bytes.reserve(piece.len() + LAST_CHUNK.len() + 16);
    // Writing into memory does not fail.
    let _ = write!(bytes, "{:x}\r\n", piece.len());
    bytes.extend_from_slice(piece);
    bytes.extend_from_slice(b"\r\n");
}
