//! A connection around an answer that was held: what came before it, meanwhile, and what comes after.

use std::time::Duration;

use plugline::http::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::lab::{Lab, Memory, PATIENCE, settings};

async fn with(change: impl FnOnce(&mut Settings)) -> Lab {
    let mut settings = settings();
    change(&mut settings);
    Lab::with(settings, 0, Memory::default()).await
}

async fn send(lab: &Lab, text: &str) -> TcpStream {
    let mut stream = lab.connect().await;
    stream.write_all(text.as_bytes()).await.expect("sent");
    stream
}

/// Reads until `end` is there; everything since the last time.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let reading = async {
        while !text.ends_with(end.as_bytes()) {
            assert!(stream.read_buf(&mut text).await.expect("read") > 0, "the connection ends");
        }
    };
    timeout(PATIENCE, reading).await.expect("in time");
    String::from_utf8(text).expect("text")
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("closed").expect("read");
    text
}

fn poll(after: u64, headers: &str) -> String {
    format!("GET /v1/events?wait=30&after=k3f9q2mz.{after} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

/// Settings by which a held answer shows soon that it is held.
fn showing(settings: &mut Settings) {
    settings.silence = Duration::from_millis(20);
}

/// What then ends what was read: its head and the first space.
const HELD: &str = "\r\n\r\n1\r\n \r\n";

const LAST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn requests_sent_before_a_held_answer_is_over_are_answered_after_it_in_order() {
    let lab = with(showing).await;
    let mut stream = send(&lab, &(poll(0, "") + &poll(1, ""))).await;
    until(&mut stream, HELD).await;
    stream.write_all(LAST.as_bytes()).await.expect("sent");
    lab.reading("a");
    let first = until(&mut stream, HELD).await;
    assert!(first.contains(r#""id":"k3f9q2mz.1""#) && first.contains("]}\r\n0\r\n\r\n"), "{first}");
    lab.reading("b");
    let both = rest(stream).await;
    assert!(
        both.contains(r#""id":"k3f9q2mz.2""#) && both.contains("]}\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"),
        "{both}"
    );
    assert!(both.contains("Plugline gateway"), "{both}");
}

#[tokio::test]
async fn what_a_held_request_brings_is_not_taken_for_a_request() {
    let lab = with(showing).await;
    let mut stream = send(&lab, &(poll(0, "Content-Length: 18\r\n") + "GET /no HTTP/1.1\r\n" + LAST)).await;
    until(&mut stream, HELD).await;
    lab.reading("a");
    let text = rest(stream).await;
    assert!(text.contains(r#""id":"k3f9q2mz.1""#) && text.contains("Plugline gateway"), "{text}");
    assert!(!text.contains("HTTP/1.1 404"), "{text}");
}

#[tokio::test]
async fn a_held_answer_is_the_last_one_where_the_reader_wants_it_so() {
    let lab = with(showing).await;
    let mut old = send(&lab, &poll(0, "").replace("HTTP/1.1", "HTTP/1.0")).await;
    let head = until(&mut old, "\r\n\r\n").await;
    assert!(!head.contains("chunked"), "{head}");
    let mut closing = send(&lab, &poll(0, "Connection: Close\r\n")).await;
    assert!(until(&mut closing, HELD).await.contains("connection: close"));
    lab.reading("a");
    let page = rest(old).await;
    assert!(page.trim_start().starts_with('{') && page.ends_with("]}"), "{page}");
    let chunks = rest(closing).await;
    assert!(chunks.ends_with("]}\r\n0\r\n\r\n"), "{chunks}");
}

#[tokio::test]
async fn a_reader_that_goes_away_while_it_is_held_gives_its_place_back() {
    for accept in ["text/event-stream", "application/json"] {
        let lab = with(|settings| {
            showing(settings);
            settings.connections = 1;
        })
        .await;
        let mut held = send(&lab, &poll(0, &format!("Accept: {accept}\r\n"))).await;
        held.read_exact(&mut [0; 12]).await.expect("an answer begins");
        assert_eq!(lab.get("/v1/gateway").await.status, 503, "{accept}");
        drop(held);
        let freed = async { while lab.get("/v1/gateway").await.status != 200 {} };
        timeout(PATIENCE, freed).await.expect("its place is free again");
    }
}

#[tokio::test]
async fn a_connection_that_stays_silent_after_a_held_answer_is_closed() {
    let lab = with(|settings| {
        showing(settings);
        settings.head_time = Duration::from_millis(100);
    })
    .await;
    for more in ["", "GET / HT"] {
        let latest = lab.reading("a");
        let mut stream = send(&lab, &poll(latest, "")).await;
        until(&mut stream, HELD).await;
        lab.reading("b");
        until(&mut stream, "0\r\n\r\n").await;
        stream.write_all(more.as_bytes()).await.expect("sent");
        assert_eq!(rest(stream).await, "", "{more:?}");
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_connections_that_wait_between_held_answers() {
    let mut lab = with(showing).await;
    let mut stream = send(&lab, &poll(0, "")).await;
    until(&mut stream, HELD).await;
    lab.reading("a");
    until(&mut stream, "0\r\n\r\n").await;
    lab.stop.send_replace(true);
    timeout(Duration::from_secs(2), &mut lab.served).await.expect("in time").expect("no panic");
    assert_eq!(rest(stream).await, "");
}
