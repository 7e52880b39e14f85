//! `GET /v1/events` as a stream.

use std::sync::atomic::Ordering;
use std::time::Duration;

use plugline::cli::sse::Parser;
use plugline::http::Settings;
use plugline::source::Source as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::lab::{EPOCH, Lab, Memory, PATIENCE, Wire, device, seq, settings};

async fn quick(change: impl FnOnce(&mut Settings)) -> Lab {
    let mut settings = settings();
    change(&mut settings);
    Lab::with(settings, 0, Memory::default()).await
}

/// Skips the opening.
async fn opened(lab: &Lab, path: &str) -> Wire {
    let mut wire = lab.stream(path).await;
    let hello = wire.block().await.expect("hello");
    assert!(hello.contains("event: hello"), "{hello}");
    wire
}

#[tokio::test]
async fn a_stream_opens_with_retry_and_hello_and_shows_events_on_one_line() {
    let lab = Lab::new().await;
    lab.reading("a");
    let mut wire = lab.stream("/v1/events").await;
    assert_eq!(wire.status(), 200);
    assert_eq!(wire.header("content-type"), Some("text/event-stream"));
    assert_eq!(wire.header("cache-control"), Some("no-store"));
    assert_eq!(wire.header("x-accel-buffering"), Some("no"));
    assert_eq!((wire.header("content-length"), wire.header("content-encoding")), (None, None));
    let hello = wire.block().await.expect("hello");
    let (retry, hello) = hello.split_once('\n').expect("lines");
    let retry: u32 = retry.strip_prefix("retry: ").and_then(|ms| ms.parse().ok()).expect("milliseconds");
    assert!((2000..5000).contains(&retry));
    assert_eq!(
        hello,
        "id: k3f9q2mz.1\nevent: hello\n\
         data: {\"epoch\":\"k3f9q2mz\",\"oldest\":\"k3f9q2mz.0\",\"latest\":\"k3f9q2mz.1\",\"gateway\":\"gw_aaaaaaaaaa\"}\n\n"
    );
    lab.reading("a");
    assert_eq!(
        wire.block().await.expect("an event"),
        "id: k3f9q2mz.2\nevent: reading\ndata: {\"id\":\"k3f9q2mz.2\",\"t\":\"2026-11-18T11:06:40.123Z\",\
         \"kind\":\"reading\",\"gateway\":\"gw_aaaaaaaaaa\",\"device\":\"a\",\"data\":{\"power_w\":41.7}}\n\n"
    );
}

#[tokio::test]
async fn the_id_of_hello_is_where_the_stream_starts_and_never_the_latest() {
    let lab = Lab::new().await;
    for _ in 0..9 {
        lab.reading("a");
    }
    let hello = lab.stream("/v1/events?after=k3f9q2mz.4").await.block().await.expect("hello");
    assert!(hello.contains("\nid: k3f9q2mz.4\n") && hello.contains("\"latest\":\"k3f9q2mz.9\""), "{hello}");
    let mut resumed =
        lab.open("/v1/events", "Accept: text/event-stream\r\nLast-Event-ID: k3f9q2mz.7\r\n").await;
    let hello = resumed.block().await.expect("hello");
    assert!(hello.contains("\nid: k3f9q2mz.7\n"), "{hello}");
    assert!(resumed.block().await.expect("an event").starts_with("id: k3f9q2mz.8\n"));
}

#[tokio::test]
async fn a_cut_at_any_byte_loses_nothing_and_repeats_nothing() {
    let lab = Lab::new().await;
    for index in 0..30 {
        lab.reading(["a", "skipped", "b"][index % 3]);
    }
    let wanted: Vec<u64> = (1..=30).filter(|seq| seq % 3 != 2).collect();
    let path = "/v1/events?after=earliest&device=a&device=b";
    let mut whole = lab.stream(path).await;
    let mut length = 0;
    for _ in 0..=wanted.len() {
        length += whole.block().await.expect("a block").len();
    }
    for cut in (0..length).step_by(29) {
        let (mut parser, mut seen) = (Parser::default(), Vec::new());
        let mut first = lab.stream(path).await;
        take(&mut first, &mut parser, &mut seen, |bytes, _| bytes == cut).await;
        drop(first);
        let resume = parser.last_id().map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let mut second = lab.open(path, &format!("Accept: text/event-stream\r\n{resume}")).await;
        let mut parser = Parser::default();
        take(&mut second, &mut parser, &mut seen, |_, seen| seen == wanted.len()).await;
        assert_eq!(seen, wanted, "cut at byte {cut}");
    }
}

async fn take(
    wire: &mut Wire,
    parser: &mut Parser,
    seen: &mut Vec<u64>,
    enough: impl Fn(usize, usize) -> bool,
) {
    let mut bytes = 0;
    while !enough(bytes, seen.len()) {
        let byte = wire.byte().await.expect("the stream goes on");
        bytes += 1;
        if let Some(message) = parser.push(byte).filter(|message| message.event != "hello") {
            let event: Value = serde_json::from_str(&message.data).expect("an Event");
            seen.push(seq(event["id"].as_str().expect("an id")));
        }
    }
}

#[tokio::test]
async fn events_that_come_while_older_ones_are_read_follow_in_order() {
    let lab = Lab::new().await;
    // More than the ring holds: the older ones come from the log.
    for _ in 0..5000 {
        lab.reading("a");
    }
    let mut wire = opened(&lab, "/v1/events?after=earliest").await;
    for wanted in 1..=5500 {
        if wanted % 10 == 0 && wanted <= 5000 {
            lab.reading("a");
        }
        let block = wire.block().await.expect("an event");
        assert!(block.starts_with(&format!("id: {EPOCH}.{wanted}\n")), "{wanted}: {block}");
    }
}

#[tokio::test]
async fn silence_is_broken_by_comments() {
    let lab = quick(|settings| settings.silence = Duration::from_millis(20)).await;
    let mut wire = opened(&lab, "/v1/events").await;
    for _ in 0..2 {
        assert_eq!(wire.block().await.as_deref(), Some(":\n\n"));
    }
    lab.reading("a");
    while wire.block().await.expect("the event") == ":\n\n" {}
}

#[tokio::test]
async fn a_bookmark_comes_after_its_time_and_covers_what_was_skipped() {
    let lab = quick(|settings| settings.bookmark = Duration::from_millis(150)).await;
    let mut wire = opened(&lab, "/v1/events?kind=command").await;
    for _ in 0..3 {
        lab.reading("a");
    }
    loop {
        let bookmark = wire.block().await.expect("a bookmark");
        assert!(bookmark.starts_with("id: k3f9q2mz.") && bookmark.lines().count() == 2, "{bookmark}");
        if bookmark == "id: k3f9q2mz.3\n\n" {
            break;
        }
    }
}

#[tokio::test]
async fn a_bookmark_comes_after_a_thousand_skipped_events() {
    let lab = Lab::new().await;
    let mut wire = opened(&lab, "/v1/events?kind=notification").await;
    for _ in 0..2500 {
        lab.reading("a");
    }
    lab.note("at last");
    assert_eq!(wire.block().await.as_deref(), Some("id: k3f9q2mz.1000\n\n"));
    assert_eq!(wire.block().await.as_deref(), Some("id: k3f9q2mz.2000\n\n"));
    assert!(wire.block().await.expect("the note").starts_with("id: k3f9q2mz.2501\nevent: notification\n"));
}

#[tokio::test]
async fn an_unusable_cursor_is_told_by_a_reset_before_anything_else_and_then_it_is_live() {
    let past = Memory::default();
    past.oldest.store(3, Ordering::SeqCst);
    let lab = Lab::with(settings(), 9, past).await;
    for (cursor, reason) in
        [("k3f9q2mz.2", "trimmed"), ("zzzzzzzz.5", "epoch_changed"), ("k3f9q2mz.900", "ahead")]
    {
        let mut wire = lab.stream(&format!("/v1/events?after={cursor}")).await;
        assert_eq!(wire.status(), 200);
        let head = lab.door.span().head;
        let reset = wire.block().await.expect("reset");
        let data = reset.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
        let problem: Value = serde_json::from_str(data).expect("a problem");
        assert!(
            reset.starts_with("retry: ") && reset.contains(&format!("\nid: {EPOCH}.{head}\nevent: reset\n"))
        );
        assert_eq!((&problem["status"], &problem["reason"]), (&json!(410), &json!(reason)));
        assert_eq!(
            (&problem["oldest"], &problem["latest"]),
            (&json!("k3f9q2mz.3"), &json!(format!("{EPOCH}.{head}")))
        );
        assert!(
            wire.block().await.expect("hello").starts_with(&format!("id: {EPOCH}.{head}\nevent: hello\n"))
        );
        let live = lab.reading("a");
        assert!(wire.block().await.expect("live").starts_with(&format!("id: {EPOCH}.{live}\n")));
        let strict =
            format!("GET /v1/events?after={cursor}&strict=1 HTTP/1.1\r\nAccept: text/event-stream\r\n");
        assert_eq!(lab.ask(&strict, "").await.problem().0, 410);
    }
}

#[tokio::test]
async fn a_log_trimmed_under_a_slow_stream_is_told_by_a_reset() {
    let other = Lab::new().await;
    for _ in 0..9 {
        other.reading("a");
    }
    let past = other.past.clone();
    past.trim_at_read.store(5, Ordering::SeqCst);
    let lab = Lab::with(settings(), 9, past).await;
    let mut wire = opened(&lab, "/v1/events?after=k3f9q2mz.2").await;
    let reset = wire.block().await.expect("reset");
    assert!(reset.starts_with("id: k3f9q2mz.9\nevent: reset\n") && reset.contains("trimmed"), "{reset}");
}

#[tokio::test]
async fn a_life_ends_behind_a_whole_event() {
    let lab = quick(|settings| settings.life = Duration::from_millis(200)).await;
    let mut wire = opened(&lab, "/v1/events").await;
    let started = Instant::now();
    while wire.block().await.is_some() {
        lab.reading("a");
    }
    assert!(wire.ended() && started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_and_holds_no_place() {
    let lab = quick(|settings| {
        settings.stall = Duration::from_millis(200);
        settings.connections = 1;
    })
    .await;
    let detail = "x".repeat(200 * 1024);
    for _ in 0..200 {
        lab.note(&detail);
    }
    let _stalled = lab.stream("/v1/events?after=earliest").await;
    assert_eq!(lab.get("/v1/gateway").await.status, 503);
    let freed = async { while lab.get("/v1/gateway").await.status != 200 {} };
    tokio::time::timeout(PATIENCE, freed).await.expect("its place is free again");
}

#[tokio::test]
async fn a_snapshot_comes_before_what_happens_and_only_where_a_stream_begins_anew() {
    let lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    lab.reading("dlt645_1");
    let mut stream = lab.stream("/v1/events?snapshot=1").await;
    assert!(stream.block().await.expect("the hello").contains("id: k3f9q2mz.1\nevent: hello\n"));
    lab.reading("dlt645_1");
    let block = stream.block().await.expect("the snapshot");
    let data = block.strip_prefix("id: k3f9q2mz.1\nevent: snapshot\ndata: ").expect("it comes first");
    let told: Value = serde_json::from_str(data.trim_end()).expect("one line of JSON");
    assert_eq!((&told["cursor"], &told["devices"][0]["name"]), (&json!("k3f9q2mz.1"), &json!("Kettle")));
    let mut same = lab.get("/v1/snapshot").await.json();
    assert!(told.as_object().expect("one").keys().eq(same.as_object_mut().expect("one").keys()));
    assert!(stream.block().await.expect("the event").starts_with("id: k3f9q2mz.2\nevent: reading\n"));
    // Back with a good cursor, or from the beginning: no picture that overtakes what it lacks.
    for from in ["k3f9q2mz.1", "earliest"] {
        let mut back = lab.stream(&format!("/v1/events?snapshot=1&after={from}")).await;
        assert!(back.block().await.expect("the hello").contains("event: hello"));
        assert!(back.block().await.expect("an event").contains("event: reading\n"), "{from}");
    }
    let mut reset = lab.stream("/v1/events?snapshot=1&after=zzzzzzzz.1").await;
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let block = reset.block().await.expect("a block");
        kinds.push(block.lines().find_map(|line| line.strip_prefix("event: ")).expect("a kind").to_owned());
    }
    assert_eq!(kinds, ["reset", "hello", "snapshot"]);
}

#[tokio::test]
async fn a_question_in_a_body_is_answered_as_one_in_a_query() {
    let lab = Lab::new().await;
    for device in ["a", "b", "c"] {
        lab.reading(device);
    }
    let post = "POST /v1/events HTTP/1.1\r\nContent-Type: application/json\r\n";
    let mut devices: Vec<String> = (0..1000).map(|n| format!("dlt645_{n:012}")).collect();
    devices.extend(["c".to_owned(), "a".to_owned()]);
    let asked =
        json!({ "after": "earliest", "limit": 1, "device": devices, "kind": ["reading"] }).to_string();
    let reply = lab.ask(post, &asked).await;
    assert_eq!((reply.seqs(), &reply.json()["more"], reply.header("link")), (vec![1], &json!(true), None));
    let rest = json!({ "after": reply.json()["cursor"], "device": devices }).to_string();
    assert_eq!(lab.ask(post, &rest).await.seqs(), [3]);
    let stream = lab
        .ask(&format!("{post}Accept: text/event-stream\r\n"), r#"{"after":"zzzzzzzz.1","strict":true}"#)
        .await;
    assert_eq!(stream.problem().1, "cursor-expired");
    for (body, status, field) in [
        (r#"{"device":[]}"#, 422, json!("device")),
        (r#"{"device":"a"}"#, 422, json!("device")),
        (r#"{"kind":[1]}"#, 422, json!("kind")),
        (r#"{"wait":"5"}"#, 422, json!("wait")),
        (r#"{"since":"now"}"#, 422, json!("since")),
        (r#"{"wait":1.5}"#, 400, json!("wait")),
        (r#"{"after":"x y"}"#, 400, json!("after")),
        ("[]", 422, json!("body")),
    ] {
        let (got, _, at) = lab.ask(post, body).await.problem();
        assert_eq!((got, at), (status, field), "{body}");
    }
    assert_eq!(lab.ask("POST /v1/events HTTP/1.1\r\n", "{}").await.problem().0, 415);
}

#[tokio::test]
async fn a_stream_can_be_asked_for_by_a_body() {
    let lab = Lab::new().await;
    let mut stream = lab
        .open_with(
            "POST",
            "/v1/events",
            "Accept: text/event-stream\r\nContent-Type: application/json\r\n",
            r#"{"device":["b"]}"#,
        )
        .await;
    assert_eq!((stream.status(), stream.header("content-type")), (200, Some("text/event-stream")));
    assert!(stream.block().await.expect("the hello").contains("event: hello"));
    lab.reading("a");
    lab.reading("b");
    assert!(stream.block().await.expect("an event").starts_with("id: k3f9q2mz.2\n"));
}
