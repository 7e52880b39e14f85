//! The stored form of a day's totals. Pure.

use serde::{Deserialize, Serialize};

use super::{Unreadable, seal_json, unseal_json};
use crate::device::DeviceId;
use crate::hub::days::{Day, DayRow, Edges, Point};

/// First and last, each a time in milliseconds and a total in mWh.
type EdgesV1 = [(i64, i64); 2];

#[derive(Serialize, Deserialize)]
struct DayRowV1 {
    energy: Option<EdgesV1>,
    export: Option<EdgesV1>,
}

/// The key of a day: `device/20777`.
#[must_use]
pub fn day_key(device: &DeviceId, day: Day) -> String {
    format!("{device}/{day}")
}

/// Device and day from their key.
///
/// # Errors
/// [`Unreadable`] when it is no such key.
pub fn day_of_key(key: &str) -> Result<(DeviceId, Day), Unreadable> {
    let parts = key.split_once('/');
    let parsed = parts.and_then(|(device, day)| Some((DeviceId::parse(device)?, day.parse().ok()?)));
    parsed.ok_or_else(|| Unreadable::Field { field: "day", got: key.to_owned() })
}

/// A day as a sealed value.
#[must_use]
pub fn seal_day(row: &DayRow) -> Vec<u8> {
    let edges = |edges: Edges| [edges.first, edges.last].map(|point| (point.unix_ms, point.total));
    seal_json(&DayRowV1 { energy: row.energy.map(edges), export: row.export.map(edges) })
}

/// A day from a sealed value.
///
/// # Errors
/// [`Unreadable`].
pub fn unseal_day(sealed: &[u8]) -> Result<DayRow, Unreadable> {
    let row: DayRowV1 = unseal_json(sealed)?;
    let edges = |edges: EdgesV1| {
        let [first, last] = edges.map(|(unix_ms, total)| Point { unix_ms, total });
        Edges { first, last }
    };
    Ok(DayRow { energy: row.energy.map(edges), export: row.export.map(edges) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_comes_back_as_it_was() {
        let (first, last) = (Point { unix_ms: -1, total: 5 }, Point { unix_ms: 9, total: i64::MAX });
        let row = DayRow { energy: Some(Edges { first, last }), export: None };
        assert_eq!(unseal_day(&seal_day(&row)), Ok(row));
        let device = DeviceId::parse("dlt645_1").expect("an id");
        assert_eq!(day_of_key(&day_key(&device, -3)), Ok((device, -3)));
        assert!(day_of_key("dlt645_1").is_err());
    }
}
