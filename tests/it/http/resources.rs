//! Devices, gateway, snapshot and health.

use std::sync::Arc;

use plugline::device::LineName;
use plugline::hub::command::Action;
use plugline::hub::{Given, LineHealth, Refused};
use plugline::source::Part;
use serde_json::json;

use super::lab::{Lab, command, device};

fn line(port: Result<(), &str>, modem: Option<bool>) -> Arc<LineHealth> {
    Arc::new(LineHealth {
        dialect: "dlt645",
        foreign: Arc::default(),
        joining: None,
        joins: Default::default(),
        options: &[],
        line: LineName::parse("dlt645").expect("a name"),
        port: port.map_err(Arc::from),
        modem,
        last_heard_unix_ms: Some(1_795_000_000_123),
        heard: 7,
        malformed: vec![("checksum", 2)],
    })
}

#[tokio::test]
async fn devices_are_listed_and_found_by_id() {
    let lab = Lab::new().await;
    assert_eq!(lab.get("/v1/devices").await.body, r#"{"devices":[]}"#);
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    let list = lab.get("/v1/devices").await.json();
    let one = lab.get("/v1/devices/dlt645_1").await.json();
    assert_eq!(list["devices"], json!([one]));
    assert_eq!((&one["name"], &one["last_reading"]["power_w"]), (&json!("Kettle"), &json!(41.7)));
    for unknown in ["dlt645_2", "UPPER", "a%20b"] {
        assert_eq!(lab.get(&format!("/v1/devices/{unknown}")).await.problem().1, "unknown-device");
    }
}

#[tokio::test]
async fn the_gateway_tells_its_version_feed_and_lines() {
    let lab = Lab::new().await;
    lab.keeper.show_line(line(Ok(()), Some(true)));
    lab.reading("a");
    assert_eq!(
        lab.get("/v1/gateway").await.json(),
        json!({
            "id": "gw_aaaaaaaaaa", "version": "1.2.3", "started_at": "2026-11-18T11:06:40.000Z",
            "feed": {"epoch": "k3f9q2mz", "oldest": "k3f9q2mz.0", "latest": "k3f9q2mz.1"},
            "lines": {"dlt645": {"port": true, "modem": true, "last_heard": "2026-11-18T11:06:40.123Z", "malformed": {"checksum": 2}, "joins": [], "options": {}, "foreign": []}},
        })
    );
}

#[tokio::test]
async fn a_snapshot_holds_everything_and_the_cursor_to_go_on_from() {
    let lab = Lab::new().await;
    lab.keeper.show_device(device("dlt645_1", "Kettle"));
    lab.keeper.show_command(Arc::new(command(Action::Read)));
    lab.reading("a");
    let reply = lab.get("/v1/snapshot").await;
    assert_eq!(reply.header("etag"), Some("\"k3f9q2mz.1\""));
    let body = reply.json();
    assert_eq!((&body["cursor"], &body["gateway"]["id"]), (&json!("k3f9q2mz.1"), &json!("gw_aaaaaaaaaa")));
    assert_eq!(body["devices"][0]["id"], "dlt645_1");
    assert_eq!(body["commands"][0]["command"], "read");
    assert!(body["taken_at"].as_str().expect("a time").ends_with('Z'));
    let head = "GET /v1/snapshot HTTP/1.1\r\nIf-None-Match: \"k3f9q2mz.1\"\r\n";
    assert_eq!(lab.ask(head, "").await.status, 304);
}

#[tokio::test]
async fn health_is_degraded_by_any_part_port_or_modem_and_strict_makes_it_503() {
    let lab = Lab::new().await;
    let health = |status: &'static str, code: u16| {
        let lab = &lab;
        async move {
            let body = lab.get("/healthz").await.json();
            assert_eq!(body["status"], status, "{body}");
            assert_eq!(lab.get("/healthz?strict=1").await.status, code);
            assert_eq!(lab.get("/healthz").await.status, 200);
            body
        }
    };
    lab.door.set_part("store", Part::Good("5 MB".into()));
    lab.keeper.show_line(line(Ok(()), None));
    let body = health("ok", 200).await;
    assert_eq!(body["parts"]["store"], true);
    lab.keeper.show_line(line(Ok(()), Some(false)));
    health("degraded", 503).await;
    lab.keeper.show_line(line(Err("unplugged"), None));
    let body = health("degraded", 503).await;
    assert_eq!(body["parts"]["lines"]["dlt645"]["port"], false);
    lab.keeper.show_line(line(Ok(()), Some(true)));
    health("ok", 200).await;
    lab.door.set_part("broker", Part::Broken("connection refused".into()));
    let body = health("degraded", 503).await;
    assert_eq!(
        (&body["parts"]["broker"], &body["details"]["broker"]),
        (&json!(false), &json!("connection refused"))
    );
}

#[tokio::test]
async fn live_means_that_the_loop_answers() {
    let mut lab = Lab::new().await;
    let address = lab.address;
    let asked = tokio::spawn(async move {
        let client = plugline::cli::client::Client::new(&format!("http://{address}")).expect("an address");
        client.get("/livez", std::time::Duration::ZERO).await.expect("an answer").status
    });
    lab.request().await.answer.send(Ok(Given::Nothing)).expect("somebody asks");
    assert_eq!(asked.await.expect("no panic"), 200);
    // A loop that does not turn leaves the request lying.
    assert_eq!(lab.get("/livez").await.problem().1, "not-live");
    lab.requests.close();
    let refused: Refused = Refused::Stopping;
    assert!(lab.get("/livez").await.body.contains(&refused.to_string()));
}
