//! Accepting connections, limiting them, and ending them in time. Hyper's http1 builder is used directly: half the
//! memory per open stream of the builder that guesses versions, a limit on reading heads, and an end that does
//! not wait for open streams.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::problem::{Problem, TOO_MANY_CONNECTIONS};
use super::progress::Progress;
use super::{App, Settings, router, stopped};
use crate::source::{Commands, Source};

/// Buffer of a connection, hence the largest request head; also what may wait to be written beside one piece of a body.
const BUFFER: usize = 16 * 1024;
/// Refusals being told at once; connections beyond are dropped without a word.
const REFUSALS: usize = 64;
/// What a refused connection gets to hear why.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
/// After a failed accept: no file handles are left, and some may be soon.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API on `listener` until `stop` becomes true or its sender is gone; then open streams end behind
/// a whole event, held requests are answered, and after [`Settings::grace`] what is left is cut.
pub async fn serve<S: Source + Commands>(
    listener: TcpListener,
    source: S,
    settings: Settings,
    mut stop: watch::Receiver<bool>,
) {
    let settings = Arc::new(settings);
    let app = App { source, settings: Arc::clone(&settings), stop: stop.clone() };
    let server = Server {
        router: router(app),
        places: Arc::new(Semaphore::new(settings.connections)),
        refusals: Arc::new(Semaphore::new(REFUSALS)),
        settings,
        stop: stop.clone(),
    };
    let mut tasks = JoinSet::new();
    let mut failing = false;
    {
        let mut stop = pin!(stopped(&mut stop));
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(_) = tasks.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        failing = false;
                        server.take(stream, &mut tasks);
                    }
                    Err(error) => {
                        // Said once per trouble, not once per try.
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(%error, "cannot accept HTTP connections; trying on");
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
    drop(listener);
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(server.settings.grace, all).await.is_err() {
        tracing::debug!(left = tasks.len(), "cutting HTTP connections that did not end in time");
        tasks.shutdown().await;
    }
}

struct Server {
    router: Router,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    settings: Arc<Settings>,
    stop: watch::Receiver<bool>,
}

impl Server {
    fn take(&self, stream: TcpStream, tasks: &mut JoinSet<()>) {
        // Events are small and must not wait for each other.
        let _ = stream.set_nodelay(true);
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            let connection =
                connection(stream, self.router.clone(), Arc::clone(&self.settings), self.stop.clone());
            tasks.spawn(async move {
                connection.await;
                drop(place);
            });
        } else if let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() {
            tasks.spawn(async move {
                let _ = timeout(REFUSAL_TIME, refuse(stream)).await;
                drop(place);
            });
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    settings: Arc<Settings>,
    mut stop: watch::Receiver<bool>,
) {
    let io = TokioIo::new(Progress::new(stream, settings.stall));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(settings.head_time).max_buf_size(BUFFER);
    let mut served = pin!(builder.serve_connection(io, TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stopped(&mut stop) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

/// Says why there is no place; reads what comes, so that the answer is not lost to a reset.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let body = Problem::new(&TOO_MANY_CONNECTIONS, "all places are taken").body();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Retry-After: 5\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 512];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}
