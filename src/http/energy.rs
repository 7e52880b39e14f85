//! What a device consumed each day, by the midnights of the house. Spec: `protocol-spec/http.md`, Energy.

use std::fmt::Write;

use axum::extract::Path;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::ask::Query;
use super::events::pairs;
use super::problem::Problem;
use super::readings::known;
use super::reply::json;
use super::{App, State};
use crate::device::{Decimal, DeviceId, Quantity};
use crate::hub::days::{DAYS_MAX, Day, DayTotal};
use crate::json::text;
use crate::site::date_text;
use crate::source::{Commands, Energy, History, Source};

/// Days of an answer unless asked otherwise.
const DAYS_DEFAULT: u64 = 30;

pub(super) async fn show<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let pairs = pairs(&uri);
    let days = Query(&pairs).number("days", 1, DAYS_MAX.unsigned_abs().into())?.unwrap_or(DAYS_DEFAULT);
    let (id, _) = known(&app.source, &id).await?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let energy = app.source.energy(&id, u16::try_from(days).unwrap_or(u16::MAX), now_ms);
    Ok(json(StatusCode::OK, view(&id, &energy)))
}

fn view(device: &DeviceId, energy: &Energy) -> String {
    let days: Vec<String> = energy.days.iter().map(|(day, total)| day_view(*day, total)).collect();
    format!(r#"{{"device":"{device}","timezone":{},"days":[{}]}}"#, text(&&*energy.timezone), days.join(","))
}

fn day_view(day: Day, total: &DayTotal) -> String {
    let mut view = format!(r#"{{"date":"{}""#, date_text(day));
    for (value, quantity) in [(total.energy, Quantity::Energy), (total.export, Quantity::EnergyExport)] {
        let row = quantity.row();
        if let Some(value) = value {
            // Writing to a text cannot fail.
            let _ = write!(view, r#","{}":{}"#, row.json_name, Decimal { value, digits: row.digits });
        }
    }
    for (_, name) in
        [(total.partial, "partial"), (total.estimated, "estimated")].iter().filter(|(set, _)| *set)
    {
        let _ = write!(view, r#","{name}":true"#);
    }
    view.push('}');
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_exact_and_what_is_not_known_is_absent() {
        let total = DayTotal { energy: Some(1_234_000), export: None, partial: false, estimated: false };
        assert_eq!(day_view(20_777, &total), r#"{"date":"2026-11-20","energy_kwh":1.234}"#);
        let total = DayTotal { energy: None, export: Some(1), partial: true, estimated: true };
        assert_eq!(
            day_view(0, &total),
            r#"{"date":"1970-01-01","energy_export_kwh":0.000001,"partial":true,"estimated":true}"#
        );
    }
}
