//! `GET /v1/devices/{id}/readings`: pages, steps, CSV, and what is answered for a device that is gone.

use plugline::device::{Quantity, Reading};
use serde_json::{Value, json};

use super::lab::{Lab, device};

/// 2026-11-18T10:00:00Z.
const TEN_MS: i64 = 1_794_996_000_000;
const ID: &str = "dlt645_1";
const SPAN: &str = "from=2026-11-18T10:00:00Z&to=2026-11-18T11:00:00Z";

fn power(mw: i64) -> Reading {
    Reading::of(Quantity::Power, mw)
}

async fn lab() -> Lab {
    let lab = Lab::new().await;
    lab.keeper.show_device(device(ID, "Kettle"));
    lab
}

#[tokio::test]
async fn rows_stand_in_the_order_of_their_times_and_what_is_missing_is_null() {
    let lab = lab().await;
    lab.measured(ID, TEN_MS, power(41_700));
    lab.measured("dlt645_2", TEN_MS + 1, power(1));
    lab.measured(ID, TEN_MS + 20_000, Reading::of(Quantity::Energy, 260_000));
    // Late: measured between the two.
    lab.measured(ID, TEN_MS + 10_000, power(-500));
    lab.measured(ID, TEN_MS + 3_600_000, power(7));
    let reply = lab.get(&format!("/v1/devices/{ID}/readings?{SPAN}")).await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
    assert_eq!(
        reply.body,
        concat!(
            r#"{"device":"dlt645_1","from":"2026-11-18T10:00:00.000Z","to":"2026-11-18T11:00:00.000Z","step_s":null,"#,
            r#""columns":["t","power_w","energy_kwh"],"rows":[["2026-11-18T10:00:00.000Z",41.7,null],"#,
            r#"["2026-11-18T10:00:10.000Z",-0.5,null],["2026-11-18T10:00:20.000Z",null,0.26]],"more":false}"#
        )
    );
}

#[tokio::test]
async fn a_step_is_one_row_and_an_empty_step_is_none() {
    let lab = lab().await;
    for (at, mw) in [(0, 10_000), (30, 20_000), (180, 5_000)] {
        lab.measured(ID, TEN_MS + at * 1000, power(mw));
    }
    let page = lab.get(&format!("/v1/devices/{ID}/readings?{SPAN}&step_s=60")).await.json();
    assert_eq!(page["step_s"], 60);
    assert_eq!(page["rows"], json!([["2026-11-18T10:00:00.000Z", 15], ["2026-11-18T10:03:00.000Z", 5]]));
}

#[tokio::test]
async fn pages_follow_one_another_and_csv_is_all_of_them_in_one_answer() {
    let lab = lab().await;
    // Every other one comes late, so that no page is in the order of the log.
    for index in (0..10_500).step_by(2).chain((1..10_500).step_by(2)) {
        lab.measured(ID, TEN_MS + index * 100, power(index));
    }
    let first = lab.get(&format!("/v1/devices/{ID}/readings?{SPAN}")).await;
    let page = first.json();
    assert_eq!((page["rows"].as_array().map(Vec::len), &page["more"]), (Some(10_000), &Value::from(true)));
    let next = page["next"].as_str().expect("there is more");
    assert_eq!(first.header("link"), Some(&*format!("<{next}>; rel=\"next\"")));
    assert!(next.ends_with(&format!("&cursor={}", page["cursor"].as_str().expect("a cursor"))), "{next}");
    let rest = lab.get(next).await.json();
    assert_eq!((rest["rows"].as_array().map(Vec::len), rest.get("next")), (Some(500), None));
    let csv = lab.get(&format!("/v1/devices/{ID}/readings?{SPAN}&format=csv")).await;
    let lines: Vec<&str> = csv.body.split_terminator("\r\n").collect();
    assert_eq!((lines.len(), lines[0]), (10_501, "t,power_w"));
    let all = |page: &Value| page["rows"].as_array().cloned().unwrap_or_default();
    let rows = all(&page).into_iter().chain(all(&rest));
    let rows: Vec<String> =
        rows.map(|row| format!("{},{}", row[0].as_str().expect("a time"), row[1])).collect();
    assert_eq!(lines[1..], rows);
}

#[tokio::test]
async fn csv_comes_by_its_type_or_by_name_and_leaves_empty_what_is_missing() {
    let lab = lab().await;
    lab.measured(ID, TEN_MS, power(41_700));
    lab.measured(ID, TEN_MS + 1000, Reading::of(Quantity::Energy, 1));
    let path = format!("/v1/devices/{ID}/readings?{SPAN}");
    let reply = lab.ask(&format!("GET {path} HTTP/1.1\r\nAccept: text/csv\r\n"), "").await;
    assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert_eq!(reply.header("content-disposition"), Some("attachment; filename=\"dlt645_1.csv\""));
    assert_eq!(
        reply.body,
        "t,power_w,energy_kwh\r\n2026-11-18T10:00:00.000Z,41.7,\r\n2026-11-18T10:00:01.000Z,,0.000001\r\n"
    );
    assert_eq!(lab.get(&format!("{path}&format=csv")).await.body, reply.body);
}

#[tokio::test]
async fn a_device_that_is_gone_answers_while_something_of_it_is_kept() {
    let lab = lab().await;
    lab.measured("dlt645_9", TEN_MS, power(1));
    let gone = lab.get(&format!("/v1/devices/dlt645_9/readings?{SPAN}")).await;
    assert_eq!((gone.status, gone.json()["columns"].clone()), (200, json!(["t", "power_w"])));
    let never = lab.get(&format!("/v1/devices/dlt645_8/readings?{SPAN}")).await;
    assert_eq!(never.problem().1, "unknown-device");
    assert_eq!(lab.get("/v1/devices/%20/readings").await.status, 404);
    let known = lab.get(&format!("/v1/devices/{ID}/readings")).await;
    assert_eq!((known.status, known.json()["rows"].clone()), (200, json!([])));
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_by_name() {
    let lab = lab().await;
    for (query, field) in [
        ("from=yesterday", "from"),
        ("to=1795000000", "to"),
        ("from=2026-11-18T11:00:00Z&to=2026-11-18T10:00:00Z", "from"),
        ("step_s=a", "step_s"),
        ("cursor=7", "cursor"),
        ("format=xml", "format"),
    ] {
        let refused = lab.get(&format!("/v1/devices/{ID}/readings?{query}")).await.problem();
        assert_eq!(refused, (400, "bad-parameter".to_owned(), json!(field)), "{query}");
    }
}
