//! The two servers behind one face: the real gateway with a line on a pseudo terminal, and nginx with nchan.

use anyhow::Context;
use plugline_simulator::Pty;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::nchan::Nchan;
use super::reader::{Target, Way};
use crate::broker::{PATIENCE, free_port};
use crate::frames::Dialect;
use crate::gateway::{Gateway, Home, QUIET, head};
use crate::{frames, process, wire};

const METERS: usize = 3;
/// More than any round has readers, all of them at one address.
const CONNECTIONS: &str = "connections = 16000\nreads_per_s = 0\nstreams_per_address = 0";

/// A running server that events can be handed to.
pub(crate) enum Server {
    Gateway { gateway: Gateway, http: u16, pty: Pty, sent: u32, _home: Home },
    Nchan(Nchan),
}

impl Server {
    /// The gateway; what it tells about its line and its meters is over.
    pub(crate) async fn gateway() -> anyhow::Result<Self> {
        let pty = Pty::open(None)?;
        // Nobody listens there: readers over HTTP are what is measured.
        let home = Home::with(Dialect::Dlt645, (pty.path(), free_port()?), METERS, (CONNECTIONS, QUIET))?;
        let gateway = home.start()?;
        let http = gateway.http().await?;
        let mut server = Self::Gateway { gateway, http, pty, sent: 0, _home: home };
        let end = Instant::now() + PATIENCE;
        let mut last = 0;
        // Every meter is heard, and then nothing is on its way any more.
        while last < 2 * METERS as u64 || head(http).await? != last {
            anyhow::ensure!(Instant::now() < end, "the gateway hears no meter");
            if last < 2 * METERS as u64 {
                server.publish(METERS).await?;
            }
            last = head(http).await?;
            sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    /// Nginx with nchan, if it is installed.
    pub(crate) async fn nchan(event: &str) -> anyhow::Result<Option<Self>> {
        Ok(Nchan::start(event).await?.map(Self::Nchan))
    }

    fn port(&self) -> u16 {
        match self {
            Self::Gateway { http, .. } => *http,
            Self::Nchan(nchan) => nchan.port,
        }
    }

    /// For readers of what comes from now on, or of everything that is kept.
    pub(crate) fn target(&self, way: Way, everything: bool) -> Target {
        let from = if everything { "earliest" } else { "now" };
        let (path, cursor_in_body) = match (self, way) {
            (Self::Gateway { .. }, Way::Sse) => (format!("/v1/events?after={from}"), true),
            (Self::Gateway { .. }, Way::LongPoll) => {
                (format!("/v1/events?wait=50&limit=1000&after={from}"), true)
            }
            (Self::Nchan(_), _) => (format!("/{from}"), false),
        };
        Target { port: self.port(), way, path, cursor_in_body }
    }

    /// Hands over `count` events, as fast as they are taken.
    pub(crate) async fn publish(&mut self, count: usize) -> anyhow::Result<()> {
        match self {
            Self::Nchan(nchan) => nchan.publish(count).await,
            Self::Gateway { pty, sent, .. } => {
                let mut bytes = Vec::new();
                for _ in 0..count {
                    *sent += 1;
                    bytes.extend(frames::power(&frames::meter(*sent as usize % METERS), *sent));
                }
                wire::flood(pty, &bytes).await?;
                wire::drain(pty);
                Ok(())
            }
        }
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Self::Gateway { gateway, .. } => vec![gateway.pid()],
            Self::Nchan(nchan) => nchan.pids(),
        }
    }

    /// Processor time so far, seconds.
    pub(crate) fn cpu_s(&self) -> anyhow::Result<f64> {
        self.pids().into_iter().map(process::cpu_s).sum()
    }

    /// Memory, each page shared between its processes counted once, bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        self.pids().into_iter().map(process::pss).sum()
    }

    /// Open files and connections of the gateway.
    pub(crate) fn handles(&self) -> anyhow::Result<usize> {
        let count = |pid| anyhow::Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count());
        self.pids().into_iter().map(count).sum()
    }
}

/// A reading's event, as the gateway writes it: what nchan is given to send.
pub(crate) async fn event() -> anyhow::Result<String> {
    let server = Server::gateway().await?;
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).await?;
    let request = "GET /v1/events?after=earliest&kind=reading&limit=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let events = answer.split("\"events\":[").nth(1).and_then(|rest| rest.strip_suffix("]}"));
    events.map(str::to_owned).context("the gateway shows a reading")
}
