//! `GET /v1/devices/{id}/energy`: days of the house's time zone.

use plugline::device::{Quantity, Reading};
use plugline::site::{Site, date_text};
use serde_json::{Value, json};

use super::lab::{Lab, device};

const ID: &str = "dlt645_1";
const HOUR_MS: i64 = 3_600_000;

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn energy(mwh: i64) -> Reading {
    Reading::of(Quantity::Energy, mwh)
}

#[tokio::test]
async fn days_are_those_of_the_house_and_a_day_without_figures_is_left_out() {
    let lab = Lab::new().await;
    let site = Site::named("Asia/Shanghai").expect("a zone");
    let today = site.day(now_ms());
    lab.keeper.restore_days(site.clone(), [], 0).expect("it reads");
    lab.keeper.show_device(device(ID, "Kettle"));
    let path = format!("/v1/devices/{ID}/energy");
    let empty = json!({ "device": ID, "timezone": "Asia/Shanghai", "days": [] });
    assert_eq!(lab.get(&path).await.json(), empty);
    let start = |days_ago: i32| site.start_ms(today - days_ago);
    lab.measured(ID, start(3) + HOUR_MS, energy(1_000_000));
    lab.measured(ID, start(2) - HOUR_MS / 4, energy(1_500_000));
    lab.measured(ID, start(2) + HOUR_MS / 4, energy(1_700_000));
    lab.measured(ID, start(1) - HOUR_MS / 4, energy(2_300_000));
    lab.measured(ID, start(1), energy(2_500_000));
    let told = lab.get(&path).await.json();
    let date = |days_ago: i32| date_text(today - days_ago);
    assert_eq!(
        told["days"],
        json!([{ "date": date(3), "energy_kwh": 0.6, "partial": true }, { "date": date(2), "energy_kwh": 0.9 }])
    );
    // Late, and nearer to midnight: the days beside it become more exact.
    lab.measured(ID, start(2) - 1, energy(1_500_000));
    let days = lab.get(&format!("{path}?days=3")).await.json()["days"].clone();
    assert_eq!(days.as_array().map(Vec::len), Some(1), "{days}");
    let kwh = days[0]["energy_kwh"].as_f64().expect("a number");
    assert!((0.999..=1.0).contains(&kwh), "{days}");
}

#[tokio::test]
async fn a_device_that_is_gone_answers_and_one_that_never_was_does_not() {
    let lab = Lab::new().await;
    lab.measured("dlt645_9", now_ms(), energy(5));
    let gone: Value = lab.get("/v1/devices/dlt645_9/energy?days=1000").await.json();
    assert_eq!(gone["days"].as_array().map(Vec::len), Some(1), "{gone}");
    assert_eq!(lab.get("/v1/devices/dlt645_8/energy").await.problem().1, "unknown-device");
    let refused = lab.get("/v1/devices/dlt645_9/energy?days=x").await.problem();
    assert_eq!(refused, (400, "bad-parameter".to_owned(), json!("days")));
}

#[tokio::test]
async fn what_the_log_still_holds_is_the_beginning_where_nothing_was_kept() {
    let lab = Lab::new().await;
    let now = now_ms();
    lab.measured(ID, now - 2, energy(5));
    lab.measured(ID, now - 1, energy(7));
    assert_eq!(lab.keeper.settle_days(now).len(), 1);
    let (rows, fresh) = (Vec::new(), Lab::with(super::lab::settings(), 2, lab.past.clone()).await);
    fresh.keeper.restore_days(Site::default(), rows, 2).expect("it reads");
    let rows = fresh.keeper.settle_days(now);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let edges = rows[0].2.expect("a row").energy.expect("energy");
    assert_eq!((edges.first.total, edges.last.total), (5, 7));
}
