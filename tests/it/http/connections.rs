//! Connections: limits, ends, and paths that lead nowhere.

use std::time::Duration;

use plugline::http::{Settings, problem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::lab::{Lab, Memory, PATIENCE, Reply, settings};

#[tokio::test]
async fn the_end_comes_in_time_with_a_stream_a_held_poll_and_an_idle_connection_open() {
    let settings = Settings { silence: Duration::from_millis(20), ..settings() };
    let mut lab = Lab::with(settings, 0, Memory::default()).await;
    let mut stream = lab.stream("/v1/events").await;
    stream.block().await.expect("hello");
    lab.reading("a");
    let mut held = lab.open("/v1/events?wait=50", "").await;
    let mut idle = lab.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    idle.read_exact(&mut [0; 12]).await.expect("an answer");
    lab.stop.send_replace(true);
    timeout(Duration::from_secs(2), &mut lab.served).await.expect("in time").expect("no panic");
    let last = stream.rest().await;
    assert!(stream.ended() && last.contains("id: k3f9q2mz.1\n") && last.ends_with("\n\n"), "{last}");
    assert!(last.contains("\n\nretry: "), "{last}");
    assert!(held.rest().await.contains(r#""events":[]"#) && held.ended());
}

#[tokio::test]
async fn a_reader_that_takes_nothing_does_not_hold_up_the_end() {
    let settings = Settings { grace: Duration::from_millis(100), ..settings() };
    let mut lab = Lab::with(settings, 0, Memory::default()).await;
    let detail = "x".repeat(200 * 1024);
    for _ in 0..200 {
        lab.note(&detail);
    }
    let _stalled = lab.stream("/v1/events?after=earliest").await;
    lab.stop.send_replace(true);
    timeout(Duration::from_secs(2), &mut lab.served).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_told_when_to_come_back() {
    let lab = Lab::with(Settings { connections: 2, ..settings() }, 0, Memory::default()).await;
    let _one = lab.stream("/v1/events").await;
    let _two = lab.stream("/v1/events").await;
    let refused = lab.get("/v1/devices").await;
    assert_eq!(refused.problem().1, "too-many-connections");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let head_time = Duration::from_millis(100);
    let lab = Lab::with(Settings { head_time, ..settings() }, 0, Memory::default()).await;
    for start in ["", "GET /v1/devices HT", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let started = Instant::now();
        let mut silent = lab.connect().await;
        silent.write_all(start.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        timeout(PATIENCE, silent.read_to_end(&mut answer)).await.expect("closed").expect("read");
        assert!(started.elapsed() >= head_time, "{start:?}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let lab = Lab::new().await;
    let mut connection = lab.connect().await;
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {}\r\n\r\n", "x".repeat(20 * 1024));
    // The server may hang up before it has read everything.
    let _ = connection.write_all(request.as_bytes()).await;
    let mut status = [0; 12];
    connection.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 431");
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_are_problems() {
    let lab = Lab::new().await;
    for path in ["/v2", "/v1/nothing", "/v1/devices/", "/problems/no-such", "/metric"] {
        assert_eq!(lab.get(path).await.problem().1, "not-found", "{path}");
    }
    let reply = lab.ask("PUT /v1/devices HTTP/1.1\r\n", "").await;
    assert_eq!(
        (reply.problem().1.as_str(), reply.header("allow")),
        ("method-not-allowed", Some("GET,HEAD,POST"))
    );
    let reply = lab.ask("PATCH /v1/commands/x HTTP/1.1\r\n", "").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD,DELETE")));
    let reply = lab.get("/v1/devices/some_id/commands").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn every_problem_has_a_page_and_the_index_names_the_paths() {
    let lab = Lab::new().await;
    for kind in problem::KINDS {
        let page = lab.get(&format!("/problems/{}", kind.name)).await;
        assert!(page.status == 200 && page.body.contains(kind.about), "{}", kind.name);
    }
    let index = lab.get("/").await;
    assert!(index.status == 200 && index.body.contains("/v1/events"));
}

#[tokio::test]
async fn a_head_request_answers_like_get_without_a_body() {
    let lab = Lab::new().await;
    for accept in ["application/json", "text/event-stream"] {
        let reply = lab.ask(&format!("HEAD /v1/events HTTP/1.1\r\nAccept: {accept}\r\n"), "").await;
        assert_eq!(
            (reply.status, reply.header("content-type"), reply.body.as_str()),
            (200, Some(accept), "")
        );
    }
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_408_after_its_time_however_busily_it_trickles() {
    assert_eq!(Settings::default().body_time, Duration::from_secs(30));
    let body_time = Duration::from_millis(100);
    let lab = Lab::with(Settings { body_time, ..settings() }, 0, Memory::default()).await;
    let head = "POST /v1/groups HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n\"";
    for trickles in [false, true] {
        let started = Instant::now();
        let (mut reader, mut writer) = lab.connect().await.into_split();
        writer.write_all(head.as_bytes()).await.expect("sent");
        let sending = async {
            let mut tick = tokio::time::interval(Duration::from_millis(5));
            loop {
                tick.tick().await;
                if trickles {
                    // The server hangs up once it has answered.
                    let _ = writer.write_all(b"a").await;
                }
            }
        };
        let mut answer = Vec::new();
        tokio::select! {
            read = timeout(PATIENCE, reader.read_to_end(&mut answer)) => { let _ = read.expect("an answer in time"); }
            () = sending => unreachable!("it goes on for ever"),
        }
        assert!(started.elapsed() >= body_time, "{trickles}");
        let problem = Reply::parse(&answer).problem();
        assert_eq!((problem.0, problem.1.as_str()), (408, "timed-out"), "{trickles}");
    }
}
