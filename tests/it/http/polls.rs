//! `GET /v1/events` as long-poll.

use std::sync::atomic::Ordering;
use std::time::Duration;

use plugline::http::Settings;
use plugline::hub::feed::{Body, GapReason, GatewayEvent};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::lab::{Lab, Memory, seq, settings};

#[tokio::test]
async fn an_empty_log_starts_at_zero_and_the_fields_stand_in_order() {
    let lab = Lab::new().await;
    let reply = lab.get("/v1/events?after=earliest").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(
        reply.body,
        r#"{"epoch":"k3f9q2mz","cursor":"k3f9q2mz.0","oldest":"k3f9q2mz.0","latest":"k3f9q2mz.0","more":false,"events":[]}"#
    );
    lab.reading("a");
    assert_eq!(lab.get("/v1/events?after=k3f9q2mz.0").await.seqs(), [1]);
}

#[tokio::test]
async fn now_is_the_default_and_the_last_event_id_wins() {
    let lab = Lab::new().await;
    for _ in 0..5 {
        lab.reading("a");
    }
    let reply = lab.get("/v1/events").await;
    assert_eq!((reply.seqs(), &reply.json()["cursor"]), (vec![], &json!("k3f9q2mz.5")));
    assert!(lab.get("/v1/events?after=now").await.seqs().is_empty());
    assert_eq!(lab.get("/v1/events?after=earliest").await.seqs(), [1, 2, 3, 4, 5]);
    let head = "GET /v1/events?after=earliest HTTP/1.1\r\nLast-Event-ID: k3f9q2mz.3\r\n";
    assert_eq!(lab.ask(head, "").await.seqs(), [4, 5]);
}

#[tokio::test]
async fn more_is_true_exactly_when_the_page_stopped_before_the_latest() {
    let lab = Lab::new().await;
    for index in 0..10 {
        lab.reading(if index % 2 == 0 { "even" } else { "odd" });
    }
    let at = |path: &'static str| {
        let lab = &lab;
        async move {
            let body = lab.get(path).await.json();
            (seq(body["cursor"].as_str().expect("a cursor")), body["more"] == true)
        }
    };
    assert_eq!(at("/v1/events?after=earliest&limit=3").await, (3, true));
    assert_eq!(at("/v1/events?after=k3f9q2mz.7&limit=3").await, (10, false));
    assert_eq!(at("/v1/events?after=k3f9q2mz.7&limit=4").await, (10, false));
    // `even` are 1, 3, 5, 7, 9: the page stops at 9, and 10 is not looked at.
    assert_eq!(at("/v1/events?after=earliest&limit=5&device=even").await, (9, true));
    assert_eq!(at("/v1/events?after=earliest&limit=6&device=even").await, (10, false));
    assert_eq!(at("/v1/events?after=earliest&limit=5&device=odd").await, (10, false));
    assert_eq!(at("/v1/events?after=earliest&limit=0").await, (1, true));
}

#[tokio::test]
async fn pages_read_one_after_another_hold_every_event_once() {
    let lab = Lab::new().await;
    for index in 0..997 {
        lab.reading(["a", "b", "c"][index % 3]);
    }
    for limit in [1, 7, 500, 1000] {
        let (mut cursor, mut seen) = ("earliest".to_owned(), Vec::new());
        loop {
            let reply = lab.get(&format!("/v1/events?after={cursor}&limit={limit}&device=a&device=c")).await;
            seen.extend(reply.seqs());
            let body = reply.json();
            cursor = body["cursor"].as_str().expect("a cursor").to_owned();
            if body["more"] == false {
                break;
            }
        }
        let wanted: Vec<u64> = (1..=997).filter(|seq| seq % 3 != 2).collect();
        assert_eq!(seen, wanted, "limit {limit}");
    }
}

#[tokio::test]
async fn kinds_and_devices_filter_and_unknown_ones_match_nothing() {
    let lab = Lab::new().await;
    lab.reading("a");
    lab.reading("b");
    lab.note("hello");
    let of = |query: &'static str| {
        let path = format!("/v1/events?after=earliest&{query}");
        let lab = &lab;
        async move { lab.get(&path).await.seqs() }
    };
    assert_eq!(of("device=a&device=b").await, [1, 2]);
    assert_eq!(of("kind=notification").await, [3]);
    assert_eq!(of("kind=reading,notification").await, [1, 2, 3]);
    assert_eq!(of("kind=reading&kind=notification").await, [1, 2, 3]);
    assert_eq!(of("kind=reading%2Cnotification&device=b").await, [2]);
    assert!(of("kind=nothing-we-know&device=a").await.is_empty());
    assert!(of("device=UNKNOWN%20/%C3%A4").await.is_empty());
    let skipped = lab.get("/v1/events?after=earliest&kind=nothing").await.json();
    assert_eq!((&skipped["cursor"], &skipped["more"]), (&json!("k3f9q2mz.3"), &json!(false)));
}

#[tokio::test]
async fn a_page_ends_at_256_kib_and_a_larger_event_goes_alone() {
    let lab = Lab::new().await;
    let (big, huge) = ("x".repeat(100 * 1024), "x".repeat(300 * 1024));
    for detail in [&big, &big, &big, &huge, &big] {
        lab.note(detail);
    }
    let mut pages = Vec::new();
    let mut after = 0;
    while after < 5 {
        let reply = lab.get(&format!("/v1/events?after=k3f9q2mz.{after}")).await;
        after = seq(reply.json()["cursor"].as_str().expect("a cursor"));
        pages.push((reply.seqs(), reply.json()["more"] == true));
    }
    assert_eq!(pages, [(vec![1, 2], true), (vec![3], true), (vec![4], true), (vec![5], false)]);
}

#[tokio::test]
async fn a_held_answer_sends_its_head_with_the_first_space_and_more_while_it_waits() {
    let settings = Settings { silence: Duration::from_millis(20), ..settings() };
    let lab = Lab::with(settings, 0, Memory::default()).await;
    let mut wire = lab.open("/v1/events?wait=30", "").await;
    assert_eq!((wire.status(), wire.header("link")), (200, None));
    assert_eq!((wire.byte().await, wire.byte().await), (Some(b' '), Some(b' ')));
    lab.reading("a");
    let body = wire.rest().await;
    assert!(wire.ended());
    let page: Value = serde_json::from_str(&body).expect("spaces and JSON are JSON");
    assert_eq!((&page["cursor"], &page["events"][0]["id"]), (&json!("k3f9q2mz.1"), &json!("k3f9q2mz.1")));
}

#[tokio::test]
async fn the_first_event_of_a_wait_gets_company() {
    let silence = Duration::from_millis(20);
    let settings = Settings { company: Duration::from_secs(1), silence, ..settings() };
    let lab = Lab::with(settings, 0, Memory::default()).await;
    let mut wire = lab.open("/v1/events?wait=30", "").await;
    lab.reading("a");
    // The server, on this same thread, sees the first one alone.
    let alone = Instant::now();
    while alone.elapsed() < Duration::from_millis(30) {
        tokio::task::yield_now().await;
    }
    lab.reading("b");
    let page: Value = serde_json::from_str(&wire.rest().await).expect("JSON");
    assert_eq!(page["events"].as_array().expect("events").len(), 2);
}

#[tokio::test]
async fn a_wait_that_times_out_is_200_with_a_cursor_past_what_was_skipped() {
    let settings = Settings { silence: Duration::from_millis(600), ..settings() };
    let lab = Lab::with(settings, 0, Memory::default()).await;
    let started = Instant::now();
    let mut wire = lab.open("/v1/events?wait=1&kind=command", "").await;
    for _ in 0..7 {
        lab.reading("a");
    }
    let body = wire.rest().await;
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        body.trim_start(),
        r#"{"epoch":"k3f9q2mz","cursor":"k3f9q2mz.7","oldest":"k3f9q2mz.0","latest":"k3f9q2mz.7","more":false,"events":[]}"#
    );
}

#[tokio::test]
async fn ready_events_are_not_waited_for_and_link_to_what_follows() {
    let lab = Lab::new().await;
    lab.reading("a");
    let reply = lab.get("/v1/events?after=earliest&wait=50&kind=reading").await;
    assert_eq!(reply.seqs(), [1]);
    let link = "</v1/events?after=k3f9q2mz.1&wait=50&kind=reading>; rel=\"next\"";
    assert_eq!(reply.header("link"), Some(link));
}

#[tokio::test]
async fn a_preference_for_waiting_is_clamped_and_echoed_unless_the_query_beats_it() {
    let lab = Lab::new().await;
    lab.reading("a");
    let of = |path: &'static str, prefer: &'static str| {
        let head = format!("GET {path} HTTP/1.1\r\nPrefer: {prefer}\r\n");
        let lab = &lab;
        async move { lab.ask(&head, "").await.header("preference-applied").map(str::to_owned) }
    };
    let path = "/v1/events?after=earliest";
    assert_eq!(of(path, "wait=99").await.as_deref(), Some("wait=50"));
    assert_eq!(of(path, "respond-async, wait=7").await.as_deref(), Some("wait=7"));
    assert_eq!(of("/v1/events?after=earliest&wait=1", "wait=7").await, None);
    assert_eq!(of(path, "wait=soon").await, None);
}

#[tokio::test]
async fn bad_syntax_is_400_and_names_the_field() {
    let lab = Lab::new().await;
    for (query, field) in [
        ("after=", "after"),
        ("after=5", "after"),
        ("after=k3f9q2mz.01", "after"),
        ("after=k3f9q2mz.99999999999999999999", "after"),
        ("wait=x", "wait"),
        ("limit=1.5", "limit"),
        ("limit=1&limit=2", "limit"),
        ("kind=", "kind"),
        ("device=", "device"),
        ("strict=maybe", "strict"),
    ] {
        for accept in ["application/json", "text/event-stream"] {
            let head = format!("GET /v1/events?{query} HTTP/1.1\r\nAccept: {accept}\r\n");
            let problem = lab.ask(&head, "").await.problem();
            assert_eq!(problem, (400, "bad-parameter".to_owned(), json!(field)), "{query}");
        }
    }
    let head = "GET /v1/events HTTP/1.1\r\nLast-Event-ID: what?\r\n";
    assert_eq!(lab.ask(head, "").await.problem().2, "Last-Event-ID");
    assert_eq!(lab.get("/v1/events?limit=5000&unknown=1").await.status, 200);
}

#[tokio::test]
async fn a_cursor_outside_of_the_log_is_410_with_its_reason() {
    let past = Memory::default();
    past.oldest.store(3, Ordering::SeqCst);
    let lab = Lab::with(settings(), 9, past).await;
    for (cursor, reason) in
        [("k3f9q2mz.2", "trimmed"), ("zzzzzzzz.5", "epoch_changed"), ("k3f9q2mz.10", "ahead")]
    {
        let reply = lab.get(&format!("/v1/events?after={cursor}&wait=30")).await;
        assert_eq!(reply.problem().1, "cursor-expired");
        let body = reply.json();
        assert_eq!(
            (reply.status, &body["reason"], &body["oldest"], &body["latest"], &body["snapshot"]),
            (410, &json!(reason), &json!("k3f9q2mz.3"), &json!("k3f9q2mz.9"), &json!("/v1/snapshot"))
        );
    }
}

#[tokio::test]
async fn a_cursor_inside_a_declared_gap_is_valid() {
    let lab = Lab::with(settings(), 100, Memory::default()).await;
    let gap = GatewayEvent::Gap { from: 40, to: 100, reason: GapReason::Crash };
    assert_eq!(lab.append(None, Body::Gateway(gap)), 101);
    let reply = lab.get("/v1/events?after=k3f9q2mz.70").await;
    assert_eq!((reply.status, reply.seqs()), (200, vec![101]));
}

#[tokio::test]
async fn events_that_the_log_does_not_show_yet_are_waited_for_and_not_skipped() {
    let other = Lab::new().await;
    for _ in 0..3 {
        other.reading("a");
    }
    let lab = Lab::with(settings(), 3, Memory::default()).await;
    let late = async {
        // Two looks at the empty log, then its writer catches up.
        while lab.past.reads.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        let events = other.past.events.lock().expect("not poisoned").clone();
        *lab.past.events.lock().expect("not poisoned") = events;
    };
    let (reply, ()) = tokio::join!(lab.get("/v1/events?after=earliest"), late);
    assert_eq!(reply.seqs(), [1, 2, 3]);
}

#[tokio::test]
async fn a_log_that_stays_behind_its_head_ends_the_page_where_it_ends() {
    let lab = Lab::with(settings(), 3, Memory::default()).await;
    let body = lab.get("/v1/events?after=earliest").await.json();
    assert_eq!(
        (&body["cursor"], &body["latest"], &body["more"]),
        (&json!("k3f9q2mz.0"), &json!("k3f9q2mz.0"), &json!(false))
    );
}

#[tokio::test]
async fn a_log_trimmed_while_it_is_read_is_told_and_not_skipped() {
    let other = Lab::new().await;
    for _ in 0..9 {
        other.reading("a");
    }
    let past = other.past.clone();
    past.trim_at_read.store(5, Ordering::SeqCst);
    let lab = Lab::with(settings(), 9, past).await;
    let reply = lab.get("/v1/events?after=k3f9q2mz.2").await;
    assert_eq!((reply.status, &reply.json()["reason"]), (410, &json!("trimmed")));
}
