//! Who waits at the other end: an MQTT subscriber and an SSE client, each a task that tells when readings came.

use std::time::Duration;

use anyhow::Context;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::broker::PATIENCE;

/// Arrivals, one a reading; the task ends with it.
pub(crate) struct Subscriber {
    arrivals: mpsc::UnboundedReceiver<Instant>,
    task: JoinHandle<()>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    /// Subscribes to all readings at a broker, QoS 1.
    pub(crate) async fn mqtt(port: u16) -> anyhow::Result<Self> {
        let mut options = MqttOptions::new(format!("bench-{}", std::process::id()), "127.0.0.1", port);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, mut events) = AsyncClient::new(options, 16);
        client.subscribe("+/+/device/+/reading", QoS::AtLeastOnce).await?;
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let (ready, subscribed) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let (_client, mut ready) = (client, Some(ready));
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Incoming::SubAck(_)) => {
                        let _ = ready.take().map(|ready| ready.send(()));
                    }
                    // What was kept for late comers is not news.
                    Event::Incoming(Incoming::Publish(publish)) if !publish.retain => {
                        let _ = arrived.send(Instant::now());
                    }
                    _ => {}
                }
            }
        });
        timeout(PATIENCE, subscribed).await.context("the broker takes no subscription")??;
        Ok(Self { arrivals, task })
    }

    /// Follows the event stream of a gateway, or of the floor.
    pub(crate) async fn sse(port: u16) -> anyhow::Result<Self> {
        let mut stream = timeout(PATIENCE, connect(port)).await.context("nobody listens")?;
        let request =
            "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".as_bytes();
        stream.write_all(request).await?;
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let mut buffer = vec![0; 65_536];
        anyhow::ensure!(stream.read(&mut buffer).await? > 0, "the stream ends before it begins");
        let task = tokio::spawn(async move {
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let now = Instant::now();
                for _ in 0..readings(&buffer[..count]) {
                    let _ = arrived.send(now);
                }
            }
        });
        Ok(Self { arrivals, task })
    }

    /// When the next reading came.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Instant> {
        let next = timeout(PATIENCE, self.arrivals.recv()).await.context("a reading does not arrive")?;
        next.context("the connection was lost")
    }

    /// Forgets what came so far; how many that were.
    pub(crate) fn forget(&mut self) -> usize {
        std::iter::from_fn(|| self.arrivals.try_recv().ok()).count()
    }
}

async fn connect(port: u16) -> TcpStream {
    loop {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn readings(bytes: &[u8]) -> usize {
    let word = b"event: reading";
    bytes.windows(word.len()).filter(|window| window == word).count()
}
