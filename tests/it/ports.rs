//! Ports: serial ones behind real ptys, TCP ones behind real listeners, lost and found again; several lines at once.

use std::sync::Arc;

use plugline::config::Place;
use plugline::hub::LineIndex;
use plugline::line::{Parity, SerialSettings};
use plugline::port::{Outlet, Port, PortEvent};
use plugline_simulator::Pty;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::parts::Wire;
use crate::rig::{Gateway, SerialServer, is_reading_of, line, meters, within};

const SETTINGS: SerialSettings = SerialSettings { baud: 9600, parity: Parity::Even };

struct Watched {
    port: Port,
    events: mpsc::Receiver<(LineIndex, PortEvent)>,
}

impl Watched {
    fn start(place: &str) -> Self {
        let (events, inbox) = mpsc::channel(16);
        let place = Place::parse(place).expect("a place");
        let port =
            Port::start(place, SETTINGS, Outlet { line: LineIndex(0), events, tap: None, watch: None });
        Self { port, events: inbox }
    }

    async fn next(&mut self) -> PortEvent {
        within("an event of the port", self.events.recv()).await.expect("the port runs").1
    }

    async fn lost(&mut self) -> Arc<str> {
        match self.next().await {
            PortEvent::Lost(reason) => reason,
            other => panic!("wanted a loss, got {other:?}"),
        }
    }

    async fn bytes(&mut self, wanted: &[u8]) {
        let mut got = Vec::new();
        while got.len() < wanted.len() {
            match self.next().await {
                PortEvent::Bytes(bytes) => got.extend(bytes),
                other => panic!("wanted bytes, got {other:?} after {got:02x?}"),
            }
        }
        assert_eq!(got, wanted);
    }
}

fn tcp(address: impl std::fmt::Display) -> String {
    format!("tcp://{address}")
}

async fn accepted(listener: &TcpListener) -> TcpStream {
    within("a connection", listener.accept()).await.expect("accepted").0
}

#[tokio::test]
async fn bytes_go_both_ways_over_tcp_and_the_connection_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut port = Watched::start(&tcp(listener.local_addr().unwrap()));
    for round in 0..2_u8 {
        let mut far = accepted(&listener).await;
        assert_eq!(port.next().await, PortEvent::Open);
        far.write_all(&[0x68, round, 0x16]).await.unwrap();
        port.bytes(&[0x68, round, 0x16]).await;
        port.port.write(vec![0xfe, round]);
        let mut got = [0; 2];
        within("what was written", far.read_exact(&mut got)).await.unwrap();
        assert_eq!(got, [0xfe, round]);
        drop(far);
        assert!(port.lost().await.contains("closed the connection"));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_once_and_found_when_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut port = Watched::start(&tcp(address));
    let reason = port.lost().await;
    assert!(reason.starts_with(&format!("tcp://{address}: connection refused")), "{reason}");
    assert!(reason.contains("ser2net"), "{reason}");
    let listener = TcpListener::bind(address).await.unwrap();
    let _far = accepted(&listener).await;
    assert_eq!(port.next().await, PortEvent::Open, "the same reason is not told again and again");
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_said_to_be_unknown() {
    let mut port = Watched::start("tcp://no-such-host.invalid:3333");
    let reason = port.lost().await;
    assert!(reason.contains("`no-such-host.invalid` is not known"), "{reason}");
}

#[tokio::test]
async fn what_the_server_says_before_it_closes_stands_in_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let serial = folder.path().join("modem");
    let _front = meters(1, &serial);
    let server = SerialServer::start("127.0.0.1:0", &serial).await;
    let mut first = Watched::start(&tcp(server.address));
    assert_eq!(first.next().await, PortEvent::Open);
    // The meters answer, so the server has the port open.
    first.port.write(vec![0x68, 0x11, 0x47, 0, 0, 0, 0, 0x68, 0x11, 4, 0x33, 0x34, 0x34, 0x35, 0x0d, 0x16]);
    assert!(matches!(first.next().await, PortEvent::Bytes(_)));
    let mut second = Watched::start(&tcp(server.address));
    assert_eq!(second.next().await, PortEvent::Open);
    second.bytes(b"Port already in use\r\n").await;
    let reason = second.lost().await;
    assert!(reason.ends_with("and said: Port already in use"), "{reason}");
}

#[tokio::test]
async fn a_serial_port_that_cannot_be_opened_says_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("modem");
    let reason = Watched::start(missing.to_str().unwrap()).lost().await;
    assert!(reason.contains("no such port; "), "{reason}");
    let reason = Watched::start("/dev/null").lost().await;
    assert_eq!(&*reason, "/dev/null: not a serial port");
    let pty = Pty::open(Some(&missing)).unwrap();
    let mut holder = Watched::start(missing.to_str().unwrap());
    assert_eq!(holder.next().await, PortEvent::Open);
    let reason = Watched::start(pty.device().to_str().unwrap()).lost().await;
    assert!(reason.ends_with(": in use by another program"), "{reason}");
}

#[tokio::test]
async fn what_came_before_the_port_was_opened_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("modem");
    let pty = Pty::open(Some(&link)).unwrap();
    assert_eq!(pty.write(b"a reply to a dead gateway").unwrap(), 25);
    let mut port = Watched::start(link.to_str().unwrap());
    assert_eq!(port.next().await, PortEvent::Open);
    pty.write(b"fresh").unwrap();
    port.bytes(b"fresh").await;
}

#[tokio::test]
async fn a_cable_that_was_pulled_is_news_and_its_return_too() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("modem");
    let front = meters(1, &link);
    let mut port = Watched::start(link.to_str().unwrap());
    assert_eq!(port.next().await, PortEvent::Open);
    front.unplug().unwrap();
    let reason = port.lost().await;
    assert!(reason.contains("cable") || reason.contains("reading failed"), "{reason}");
    assert!(port.lost().await.contains("no such port"));
    front.plug().unwrap();
    assert_eq!(port.next().await, PortEvent::Open);
}

/// `device` of the line `name` gave a reading.
fn reading_of(name: &str, device: &str) -> impl Fn(&serde_json::Value) -> bool {
    let id = format!("{name}_{device}");
    move |event| is_reading_of(event, &id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_reads_meters_behind_a_serial_server_and_survives_its_restart() {
    let folder = tempfile::tempdir().unwrap();
    let serial = folder.path().join("modem");
    let _front = meters(1, &serial);
    let server = SerialServer::start("127.0.0.1:0", &serial).await;
    let wire = Wire::to(server.address.port()).await;
    let port = format!("tcp://localhost:{}", wire.port);
    let mut gateway = Gateway::start(&folder.path().join("state"), &line("dlt645", &port, "")).await;
    let kettle = reading_of("dlt645", "000000004711");
    gateway.next("a reading", &kettle).await;
    let down = |event: &serde_json::Value| event["data"]["event"] == "line_down";
    let address = server.address.to_string();
    server.stop().await;
    wire.cut();
    gateway.next("the line goes down", down).await;
    let server = SerialServer::start(&address, &serial).await;
    wire.mend();
    gateway.next("the line comes up", |event| event["data"]["event"] == "line_up").await;
    gateway.next("a reading again", &kettle).await;
    gateway.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_lines_one_is_unplugged_and_comes_back_and_the_other_does_not_notice() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (attic, cellar) = (meters(1, &path("attic")), meters(2, &path("cellar")));
    let port = |name: &str| path(name).to_str().unwrap().to_owned();
    let lines = line("attic", &port("attic"), "") + &line("cellar", &port("cellar"), "");
    let mut gateway = Gateway::start(&path("state"), &lines).await;
    let devices = ids(&gateway).await;
    let kettle =
        |line: &str| devices.iter().find(|(_, name)| *name == format!("{line} Kettle")).unwrap().0.clone();
    let (up, down) = (kettle("attic"), kettle("cellar"));
    gateway.next("a reading of the attic", |event| is_reading_of(event, &up)).await;
    gateway.next("a reading of the cellar", |event| is_reading_of(event, &down)).await;

    cellar.unplug().unwrap();
    let news = |word: &'static str| {
        move |event: &serde_json::Value| event["data"]["event"] == word && event["data"]["line"] == "cellar"
    };
    gateway.next("the cellar is down", news("line_down")).await;
    for _ in 0..10 {
        gateway.next("the attic goes on", |event| is_reading_of(event, &up)).await;
    }
    let lines = gateway.get("/healthz").await["parts"]["lines"].clone();
    assert_eq!(lines["attic"]["modem"], true, "{lines}");
    assert_eq!(lines["cellar"]["port"], false, "{lines}");
    cellar.plug().unwrap();
    gateway.next("the cellar is up", news("line_up")).await;
    gateway.next("a reading of the cellar again", |event| is_reading_of(event, &down)).await;

    let troubles = gateway.all().await.iter().filter(|event| {
        let attics = event["data"]["line"] == "attic" && event["data"]["event"] == "line_down";
        attics || (event["device"] == up.as_str() && event["data"]["online"] == false)
    });
    assert_eq!(troubles.count(), 0, "the attic noticed");
    let asked = attic.requests().len();
    assert!(asked > 20, "the attic was asked {asked} times");
    gateway.stop().await;
}

/// Ids and names of all devices.
async fn ids(gateway: &Gateway) -> Vec<(String, String)> {
    let body = gateway.get("/v1/devices").await;
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let devices = body["devices"].as_array().expect("devices").iter();
    devices.map(|device| (text(&device["id"]), text(&device["name"]))).collect()
}
