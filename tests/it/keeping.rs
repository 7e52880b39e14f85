//! What the program keeps of readings: across a restart, and no longer once it is told to erase.

use serde_json::Value;

use crate::gateway::{FRIDGE, Feed, KETTLE, Site, curl, ended, get, plugline};

async fn rows(http: &str, device: &str) -> Vec<Value> {
    let page = get(&format!("{http}/v1/devices/{device}/readings")).await;
    page["rows"].as_array().expect("rows").clone()
}

async fn days(http: &str) -> usize {
    let told = get(&format!("{http}/v1/devices/{KETTLE}/energy")).await;
    told["days"].as_array().expect("days").len()
}

#[tokio::test]
async fn readings_and_totals_of_days_outlive_a_restart_and_are_gone_once_erased() {
    let site = Site::new();
    let gateway = site.run().await;
    let mut feed = Feed::after(&gateway.http, "earliest");
    for device in [KETTLE, FRIDGE] {
        feed.next("a total", |event| event["device"] == device && event["data"]["energy_kwh"].is_number())
            .await;
    }
    let before = rows(&gateway.http, KETTLE).await;
    let others = rows(&gateway.http, FRIDGE).await;
    assert!(!before.is_empty() && !others.is_empty());
    assert_eq!(gateway.program.stop("TERM").await.code(), Some(0));

    let gateway = site.run().await;
    let http = &gateway.http;
    let kept = rows(http, KETTLE).await;
    assert_eq!(kept[..before.len()], before);
    assert_eq!(days(http).await, 1);
    let csv = ended(&mut plugline(&["readings", KETTLE, "--csv", "--url", http])).await;
    assert_eq!((csv.code, csv.out.starts_with("t,power_w,")), (Some(0), true), "{}{}", csv.out, csv.err);
    let quality = ended(&mut plugline(&["quality", "dlt645", "--json", "--url", http])).await;
    let quality: Value = serde_json::from_str(&quality.out).expect("JSON");
    let heard = quality["devices"].as_array().into_iter().flatten().find(|of| of["device"] == KETTLE);
    assert!(heard.is_some_and(|of| of["heard"].as_u64() > Some(0) && of["attempts"].as_u64() > Some(0)));

    let (status, told) = curl(&["-X", "DELETE", &format!("{http}/v1/devices/{KETTLE}/readings")]).await;
    assert_eq!(status, 200, "{told}");
    assert!(told["erased"].as_u64().expect("a count") >= kept.len() as u64, "{told} of {}", kept.len());
    let left = |rows: &[Value]| rows.iter().filter(|row| kept.contains(row)).count();
    assert_eq!(left(&rows(http, KETTLE).await), 0);
    assert_eq!(rows(http, FRIDGE).await[..others.len()], others);
    assert_eq!(gateway.program.stop("TERM").await.code(), Some(0));

    let gateway = site.run().await;
    assert_eq!(left(&rows(&gateway.http, KETTLE).await), 0, "it came back");
    assert_eq!(rows(&gateway.http, FRIDGE).await[..others.len()], others);
    let feed = Feed::all(&gateway.http).await;
    assert!(feed.iter().all(|event| event["data"]["event"] != "gap" && event["kind"] != "erased"));
}
