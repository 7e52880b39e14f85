//! A small HTTP/1.1 client for talking to a gateway: a connection per request, JSON both ways, a limit on every
//! wait, and event streams. It knows HTTP and problems; what the resources mean is the verbs' business.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::sse::{Message, Parser};
use super::tls::Trust;

/// A gateway on the same network answers the knock at once.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// What an answer may take beyond the time that the server was asked to wait.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// A stream says something every 15 s; three times that is a dead connection.
const STREAM_SILENCE: Duration = Duration::from_secs(45);
/// How long one request is put off in all when the gateway says that there were too many.
const COME_BACK_MAX: Duration = Duration::from_secs(30);
/// Largest answer that is taken; the longest page of the contract has 256 KiB.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// Where a gateway is.
#[derive(Clone, Debug)]
pub struct Client {
    authority: String,
    /// `None`: without TLS.
    trust: Option<Trust>,
    /// The whole header; nothing prints it.
    authorization: Option<HeaderValue>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body; `null` when there is none, a string when it is plain text.
    pub body: Value,
}

impl Answer {
    /// There were too many requests; this one is welcome after this time.
    fn come_back(&self) -> Option<Duration> {
        let limited = self.body.get("type").and_then(Value::as_str) == Some("/problems/rate-limited");
        let seconds = self.headers.get(header::RETRY_AFTER).filter(|_| limited)?;
        seconds.to_str().ok()?.parse().ok().map(Duration::from_secs)
    }

    /// The body of a success.
    ///
    /// # Errors
    /// For any other status, with the words of the problem.
    pub fn good(self) -> anyhow::Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let word = |name: &str| self.body.get(name).and_then(Value::as_str);
        let title = word("title").unwrap_or("the gateway refused");
        match word("detail") {
            Some(detail) => bail!("{title}: {detail} (HTTP {})", self.status),
            None => bail!("{title} (HTTP {})", self.status),
        }
    }
}

impl Client {
    /// A client of the gateway at `url`: `http://127.0.0.1:8480`, or `https://box:8480/#sha256=AB:CD:…` with the
    /// fingerprint of its certificate.
    ///
    /// # Errors
    /// When it is no such address.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let pin = url.split_once("#sha256=").map(|(_, pin)| Trust::pinned(pin)).transpose()?;
        Self::trusting(url, pin)
    }

    /// A client of the gateway at `url`, which is known by `trust` if it is `https://`.
    ///
    /// # Errors
    /// When it is no such address.
    pub fn trusting(url: &str, trust: Option<Trust>) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
        let (usual, trust) = match uri.scheme_str() {
            Some("https") => {
                let how = "say how the gateway is known: --fingerprint SHA256 (it prints it at its start), or --ca-file FILE";
                (443, Some(trust.context(how)?))
            }
            _ => (80, None),
        };
        let host = uri.host().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")));
        let host = host.with_context(|| format!("`{url}` is not an address like http://127.0.0.1:8480"))?;
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(usual));
        Ok(Self { authority, trust, authorization: None })
    }

    /// The same with a token.
    ///
    /// # Errors
    /// When it holds what no token does.
    pub fn with_token(self, token: &str) -> anyhow::Result<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| anyhow!("the token holds characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Self { authorization: Some(value), ..self })
    }

    /// `GET path`; `wait` is what the server was asked to hold the request at most.
    ///
    /// # Errors
    /// When the gateway cannot be reached, does not answer in time or answers no JSON.
    pub async fn get(&self, path: &str, wait: Duration) -> anyhow::Result<Answer> {
        self.json(Method::GET, path, None, wait).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&self, path: &str, body: &Value, wait: Duration) -> anyhow::Result<Answer> {
        self.json(Method::POST, path, Some(body), wait).await
    }

    /// `PATCH path` with a JSON body.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.json(Method::PATCH, path, Some(body), Duration::ZERO).await
    }

    /// `DELETE path`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.json(Method::DELETE, path, None, Duration::ZERO).await
    }

    /// Comes back when it is told to, as long as that is soon: a refused request did nothing.
    async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wait: Duration,
    ) -> anyhow::Result<Answer> {
        let mut waited = Duration::ZERO;
        loop {
            let answer = self.once(method.clone(), path, body, wait).await?;
            match answer.come_back() {
                Some(time) if waited + time <= COME_BACK_MAX => {
                    tokio::time::sleep(time).await;
                    waited += time;
                }
                _ => return Ok(answer),
            }
        }
    }

    async fn once(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wait: Duration,
    ) -> anyhow::Result<Answer> {
        let answer = async {
            let mut request = self.request(method, path, body.map_or_else(String::new, Value::to_string))?;
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
            if body.is_some() {
                let json = HeaderValue::from_static("application/json");
                request.headers_mut().insert(header::CONTENT_TYPE, json);
            }
            let (response, _connection) = self.send(request).await?;
            let (head, body) = response.into_parts();
            let bytes = Limited::new(body, ANSWER_MAX).collect().await;
            let bytes = bytes.map_err(|error| anyhow!("reading the answer: {error}"))?.to_bytes();
            let plain = head
                .headers
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
            let body = if bytes.is_empty() {
                Value::Null
            } else if plain {
                Value::String(String::from_utf8_lossy(&bytes).into_owned())
            } else {
                serde_json::from_slice(&bytes).with_context(|| {
                    format!("HTTP {} without JSON; is this a Plugline gateway?", head.status)
                })?
            };
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        timeout(ANSWER_TIME + wait, answer)
            .await
            .with_context(|| format!("{} did not answer in time", self.authority))?
    }

    /// Opens the event stream at `path`, after `last_id` if there is one.
    ///
    /// # Errors
    /// When the gateway cannot be reached or answers anything but a stream.
    pub async fn stream(&self, path: &str, last_id: Option<&str>) -> anyhow::Result<Stream> {
        let mut request = self.request(Method::GET, path, String::new())?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(id) = last_id {
            request.headers_mut().insert("last-event-id", HeaderValue::from_str(id)?);
        }
        let open = async {
            let (response, connection) = self.send(request).await?;
            if response.status() == 200 {
                return Ok(Stream {
                    body: response.into_body(),
                    _connection: connection,
                    left: Bytes::new(),
                    parser: Parser::default(),
                });
            }
            let (head, body) = response.into_parts();
            let bytes =
                Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| anyhow!(error))?.to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let refused = Answer { status: head.status.as_u16(), headers: head.headers, body }.good();
            Err(refused.err().unwrap_or_else(|| anyhow!("HTTP {} instead of a stream", head.status)))
        };
        timeout(ANSWER_TIME, open)
            .await
            .with_context(|| format!("{} did not answer in time", self.authority))?
    }

    fn request(&self, method: Method, path: &str, body: String) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority)
            .body(Full::from(body))
            .with_context(|| format!("`{path}` cannot be asked for"))?;
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.clone());
        }
        Ok(request)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(Response<Incoming>, JoinSet<()>)> {
        let unreachable = || format!("no gateway answers at {}; is `plugline run` up?", self.authority);
        let stream =
            timeout(CONNECT_TIME, TcpStream::connect(&self.authority)).await.with_context(unreachable)?;
        let stream = stream.with_context(unreachable)?;
        let (mut sender, task) = match &self.trust {
            None => Self::shake(stream).await?,
            Some(trust) => {
                let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
                let secured = timeout(CONNECT_TIME, trust.connect(host, stream)).await;
                Self::shake(secured.with_context(unreachable)??).await?
            }
        };
        Ok((sender.send_request(request).await.with_context(unreachable)?, task))
    }

    async fn shake(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> anyhow::Result<(http1::SendRequest<Full<Bytes>>, JoinSet<()>)> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The set ends the connection's task when it is dropped with its answer.
        let mut task = JoinSet::new();
        task.spawn(async move {
            // What goes wrong here is told to whoever waits for the answer.
            let _ = connection.await;
        });
        Ok((sender, task))
    }
}

/// An open event stream.
#[derive(Debug)]
pub struct Stream {
    body: Incoming,
    _connection: JoinSet<()>,
    left: Bytes,
    parser: Parser,
}

impl Stream {
    /// The next message; `None` when the stream ended.
    ///
    /// # Errors
    /// When the connection broke, or was silent for too long to be alive.
    pub async fn next(&mut self) -> anyhow::Result<Option<Message>> {
        loop {
            while !self.left.is_empty() {
                let byte = self.left.split_to(1)[0];
                if let Some(message) = self.parser.push(byte) {
                    return Ok(Some(message));
                }
            }
            let frame = timeout(STREAM_SILENCE, self.body.frame()).await.context("the stream fell silent")?;
            match frame {
                None => return Ok(None),
                Some(frame) => self.left = frame?.into_data().unwrap_or_default(),
            }
        }
    }

    /// The id to resume after, if any came.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.parser.last_id()
    }

    /// How long the server wants a reader to wait before it connects again, milliseconds.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.parser.retry_ms()
    }
}
