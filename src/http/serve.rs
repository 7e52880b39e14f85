//! Accepting connections, limiting them, and ending them in time.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connection::{Desk, connection};
use super::guard::Peer;
use super::limits::Limits;
use super::problem::{Problem, TOO_MANY_CONNECTIONS};
use super::progress::Progress;
use super::routes::router;
use super::stream::Stream;
use super::tls::Acceptor;
use super::{Root, Settings, http2, stopped};
use crate::source::{Commands, Source};

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
    let limits = Arc::new(Limits::new(settings.limits));
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let open = loopback && !settings.public;
    let root = Root {
        source,
        settings: Arc::clone(&settings),
        limits: Arc::clone(&limits),
        stop: stop.clone(),
        open,
    };
    let server = Server {
        desk: Arc::new(Desk {
            router: router(root),
            rules: settings.guard.clone(),
            limits,
            head_time: settings.head_time,
            stall: settings.stall,
        }),
        tls: settings
            .tls
            .clone()
            .map(|keys| Acceptor::new(keys, settings.tls_look).expect("ring has what TLS 1.2 and 1.3 need")),
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
                    Ok((stream, from)) => {
                        failing = false;
                        server.take(stream, from, &mut tasks);
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
    desk: Arc<Desk>,
    tls: Option<Acceptor>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    settings: Arc<Settings>,
    stop: watch::Receiver<bool>,
}

impl Server {
    fn take(&self, stream: TcpStream, from: SocketAddr, tasks: &mut JoinSet<()>) {
        // Events are small and must not wait for each other.
        let _ = stream.set_nodelay(true);
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            // One that is over already has no address; its requests are nobody's.
            let local = stream.local_addr().unwrap_or(from).ip().to_canonical();
            let peer = Peer { address: from.ip().to_canonical(), local, secure: self.tls.is_some() };
            let (desk, stop) = (Arc::clone(&self.desk), self.stop.clone());
            match self.tls.clone() {
                None => {
                    let connection =
                        connection(Progress::new(Stream::Plain(stream), desk.stall), peer, desk, stop);
                    tasks.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Some(tls) => {
                    tasks.spawn(async move {
                        secured(tls, stream, (peer, desk), stop).await;
                        drop(place);
                    });
                }
            }
            return;
        }
        // What is said in plain text means nothing to who expects TLS.
        if self.tls.is_some() {
            return;
        }
        if let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() {
            tasks.spawn(async move {
                let _ = timeout(REFUSAL_TIME, refuse(stream)).await;
                drop(place);
            });
        }
    }
}

/// A connection over TLS, by the protocol that both sides like best.
async fn secured(
    tls: Acceptor,
    stream: TcpStream,
    (peer, desk): (Peer, Arc<Desk>),
    stop: watch::Receiver<bool>,
) {
    match timeout(desk.head_time, tls.accept(stream)).await {
        Ok(Ok((stream, two))) => {
            let io = Progress::new(Stream::Tls(Box::new(stream)), desk.stall);
            if two {
                http2::connection(io, peer, desk, stop).await;
            } else {
                connection(io, peer, desk, stop).await;
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// Says why there is no place; reads what comes, so that the answer is not lost to a reset.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let body = Problem::new(&TOO_MANY_CONNECTIONS, "all places are taken").body();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nRetry-After: 5\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 512];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}
