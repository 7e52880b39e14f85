//! The whole gateway within the test's process, simulated meters behind ptys, and a server like ser2net in between.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use plugline::cli::client::Client;
use plugline::config::Config;
use plugline_simulator::{Bus, Front, Pty, demo_house};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_serial::SerialPortBuilderExt;

use crate::parts::PATIENCE;

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// The demo's three meters, quick to answer, behind a pty with a name that stays.
pub(crate) fn meters(seed: u64, link: &Path) -> Front {
    let meters = demo_house(seed).into_iter().map(|meter| {
        let quick = Duration::from_millis(1);
        meter.with_reply_delay(quick).with_relay_delay(quick)
    });
    let pty = Pty::open(Some(link)).expect("a pty");
    Front::start(Bus::new(seed, meters.collect()), pty).expect("a thread")
}

/// A line of the configuration with those meters.
pub(crate) fn line(name: &str, port: &str, more: &str) -> String {
    let devices: String = [("4711", "Kettle"), ("4712", "Fridge"), ("4713", "Desk")]
        .map(|(address, device)| {
            format!("[[line.device]]\naddress = \"{address}\"\nname = \"{name} {device}\"\n")
        })
        .concat();
    format!(
        "[[line]]\nname = \"{name}\"\ndialect = \"dlt645\"\nport = {port:?}\nbaud = 115200\n{more}\
         periods = {{ power = 1, relay = 1, energy = 1, voltage = 1, current = 1, power_factor = 1, frequency = 1 }}\n\
         {devices}"
    )
}

/// A running gateway; told to stop by [`Gateway::stop`].
pub(crate) struct Gateway {
    client: Client,
    cursor: String,
    /// Every event so far.
    pub(crate) seen: Vec<Value>,
    at: usize,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Gateway {
    pub(crate) async fn start(state: &Path, lines: &str) -> Self {
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[mqtt.embedded]\nlisten = \"127.0.0.1:0\"\n[store]\ndir = {state:?}\n{lines}"
        );
        let config = Config::parse(&text, std::iter::empty(), &|path| std::fs::read_to_string(path));
        Self::run(config.expect("it is right")).await
    }

    pub(crate) async fn run(config: Config) -> Self {
        let (ready, up) = oneshot::channel();
        let (stop, told) = oneshot::channel::<()>();
        let task = tokio::spawn(plugline::run::run(config, ready, async {
            let _ = told.await;
        }));
        let addresses = within("the start", up).await.expect("it started");
        let client = Client::new(&format!("http://{}", addresses.http)).expect("an address");
        Self { client, cursor: "earliest".into(), seen: Vec::new(), at: 0, stop, task }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.client.get(path, PATIENCE).await.expect("an answer").good().expect(path)
    }

    /// Takes the next page of the feed; `true` when there is more at once.
    async fn page(&mut self, wait_s: u32) -> bool {
        let page = self.get(&format!("/v1/events?after={}&wait={wait_s}", self.cursor)).await;
        page["cursor"].as_str().expect("a cursor").clone_into(&mut self.cursor);
        self.seen.extend(page["events"].as_array().expect("events").iter().cloned());
        page["more"] == true
    }

    /// The next event that is `wanted`.
    pub(crate) async fn next(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let looking = async {
            loop {
                while let Some(event) = self.seen.get(self.at) {
                    self.at += 1;
                    if wanted(event) {
                        return event.clone();
                    }
                }
                self.page(5).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(event) => event,
            Err(_) => panic!("{what}: not among {} events: {:#?}", self.seen.len(), self.seen.last()),
        }
    }

    /// Everything up to now.
    pub(crate) async fn all(&mut self) -> &[Value] {
        while self.page(0).await {}
        &self.seen
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        within("the end", self.task).await.expect("no panic").expect("a clean end");
    }
}

pub(crate) fn is_reading_of(event: &Value, device: &str) -> bool {
    event["kind"] == "reading" && event["device"] == device
}

/// Gives the bytes of a serial port to one TCP client at a time, as ser2net does; to a second one it says so.
pub(crate) struct SerialServer {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl SerialServer {
    pub(crate) async fn start(address: &str, serial: &Path) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serial = serial.to_str().expect("text").to_owned();
        let task = tokio::spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let serial = serial.clone();
                clients.spawn(async move {
                    match tokio_serial::new(serial, 115_200).open_native_async() {
                        Ok(mut port) => {
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut port).await;
                        }
                        Err(_) => {
                            let _ = client.write_all(b"Port already in use\r\n").await;
                        }
                    }
                });
            }
        });
        Self { address, task }
    }

    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
