//! `GET /v1/log`.

use serde_json::json;

use super::lab::{Lab, PATIENCE};

#[tokio::test]
async fn the_last_lines_are_read_and_followed_by_number() {
    let lab = Lab::new().await;
    assert_eq!(lab.get("/v1/log").await.json(), json!({"entries": [], "next": 0}));
    for word in ["one", "two", "three"] {
        lab.upkeep.logbook.add(1_795_000_000_123, "info", "plugline::run", word);
    }
    let page = lab.get("/v1/log?after=0&limit=2").await.json();
    let first = json!({
        "n": 1, "t": "2026-11-18T11:06:40.123Z", "level": "info", "target": "plugline::run", "message": "one",
    });
    assert_eq!((&page["entries"][0], &page["next"]), (&first, &json!(2)));
    assert_eq!(lab.get("/v1/log?limit=1").await.json()["entries"][0]["message"], "three");
    assert_eq!(lab.get("/v1/log?after=3").await.json(), json!({"entries": [], "next": 3}));
    let of_another_life = lab.get("/v1/log?after=99").await.json();
    assert_eq!(of_another_life["entries"][0]["message"], "one");
    assert_eq!(lab.get("/v1/log?after=x").await.problem(), (400, "bad-parameter".into(), json!("after")));
}

#[tokio::test]
async fn who_waits_hears_the_next_line() {
    let lab = Lab::new().await;
    let waiting = lab.get_later("/v1/log?after=0&wait=50", "");
    // It is answered by the line, whether it came before the wait or after.
    lab.upkeep.logbook.add(1, "warn", "plugline", "it happened");
    let page = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic").json();
    assert_eq!(page["entries"][0]["message"], "it happened");
}
