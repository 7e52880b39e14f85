//! What a device measured: rows of the log, as JSON pages or as CSV in one stream. Spec: `protocol-spec/http.md`,
//! Readings.

use std::fmt::Write;
use std::io;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;

use super::ask::{BadParameter, Query, accepts};
use super::devices::find;
use super::events::pairs;
use super::pen::{self, Pen};
use super::problem::Problem;
use super::reply::{json, texts};
use super::{App, State};
use crate::device::{Decimal, Device, DeviceId, Quantity};
use crate::hub::history::{PAGE_ROWS, Page, Place, Row, Wanted, columns};
use crate::json::{text, time};
use crate::source::{Commands, History, Source};

/// How far back is looked unless asked otherwise.
const SPAN_DEFAULT_MS: i64 = 24 * 3600 * 1000;
/// Longest step: ten years, which is longer than anything is kept.
const STEP_MAX_S: u64 = 10 * 366 * 86_400;
/// A piece handed to the connection ends after the row that passes this size.
const PIECE_BYTES: usize = 64 * 1024;
pub(super) const TIME_WANTED: &str = "a time such as 2026-11-20T10:00:00Z";

/// What was asked.
struct Ask {
    wanted: Wanted,
    csv: bool,
}

impl Ask {
    fn parse(
        query: Query<'_>,
        device: DeviceId,
        headers: &HeaderMap,
        now_ms: i64,
    ) -> Result<Self, BadParameter> {
        let to_ms = moment(query, "to")?.unwrap_or(now_ms);
        let from_ms = moment(query, "from")?.unwrap_or(to_ms.saturating_sub(SPAN_DEFAULT_MS));
        if from_ms > to_ms {
            return Err(BadParameter { field: "from", got: time(from_ms), wanted: "a time not behind `to`" });
        }
        let step_s = query.number("step_s", 1, STEP_MAX_S)?;
        let step_ms = step_s.map(|step_s| i64::try_from(step_s).unwrap_or(i64::MAX).saturating_mul(1000));
        let after = query.one("cursor")?.map(place).transpose()?;
        let csv = match query.one("format")? {
            None => accepts(texts(headers, header::ACCEPT), "text/csv"),
            Some("csv") => true,
            Some("json") => false,
            Some(other) => {
                let got = other.to_owned();
                return Err(BadParameter { field: "format", got, wanted: "`json` or `csv`" });
            }
        };
        Ok(Self { wanted: Wanted { device, from_ms, to_ms, step_ms, after }, csv })
    }
}

/// A parameter that is a time, in milliseconds since 1970 UTC.
pub(super) fn moment(query: Query<'_>, field: &'static str) -> Result<Option<i64>, BadParameter> {
    let Some(given) = query.one(field)? else { return Ok(None) };
    let bad = || BadParameter { field, got: given.to_owned(), wanted: TIME_WANTED };
    let stamp: jiff::Timestamp = given.parse().map_err(|_| bad())?;
    Ok(Some(stamp.as_millisecond()))
}

fn place(text: &str) -> Result<Place, BadParameter> {
    // A number may be written with a plus, but not by us.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    let parts = text.split_once('.').filter(|_| plain);
    let parsed = parts.and_then(|(at, seq)| Some((at.parse().ok()?, seq.parse().ok()?)));
    let wanted = "the `cursor` of the page before";
    parsed.ok_or_else(|| BadParameter { field: "cursor", got: text.to_owned(), wanted })
}

pub(super) async fn show<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let pairs = pairs(&uri);
    let (id, device) = known(&app.source, &id).await?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let ask = Ask::parse(Query(&pairs), id, &headers, now_ms)?;
    let measured = device.map(|device| device.measured.iter().map(|of| of.quantity).collect());
    let known: Vec<Quantity> = measured.unwrap_or_default();
    let first = app.source.readings(ask.wanted.clone(), PAGE_ROWS).await?;
    let mut response = if ask.csv {
        stream(app, ask.wanted, first, &known)
    } else {
        page(&ask.wanted, &first, &known, uri.path())
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// A device by its id: one of the registry, or one that is gone and of which something is kept.
pub(super) async fn known<S: Source + Commands>(
    source: &S,
    id: &str,
) -> Result<(DeviceId, Option<std::sync::Arc<Device>>), Problem> {
    let unknown = match find(source, id) {
        Ok(device) => return Ok((device.id.clone(), Some(device))),
        Err(unknown) => unknown,
    };
    match DeviceId::parse(id) {
        Some(id) if source.remembers(&id).await? => Ok((id, None)),
        _ => Err(unknown),
    }
}

fn names(columns: &[Quantity]) -> impl Iterator<Item = &'static str> {
    std::iter::once("t").chain(columns.iter().map(|quantity| quantity.row().json_name))
}

fn number(row: &Row, quantity: Quantity) -> Option<Decimal> {
    row.reading.get(quantity).map(|value| Decimal { value, digits: quantity.row().digits })
}

fn page(wanted: &Wanted, page: &Page, known: &[Quantity], path: &str) -> Response {
    let columns = columns(known.iter().copied(), &page.measured);
    let step_s = wanted.step_ms.map(|step| step / 1000);
    let names: Vec<&str> = names(&columns).collect();
    // Members are texts of our own making; rows are written straight, a page has a million characters.
    let mut body = format!(
        r#"{{"device":"{}","from":"{}","to":"{}","step_s":{},"columns":{},"rows":["#,
        wanted.device,
        time(wanted.from_ms),
        time(wanted.to_ms),
        text(&step_s),
        text(&names)
    );
    for (index, row) in page.rows.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        // Writing to a text cannot fail.
        let _ = write!(body, r#"{comma}["{}""#, time(row.unix_ms));
        for quantity in &columns {
            let _ = match number(row, *quantity) {
                Some(value) => write!(body, ",{value}"),
                None => write!(body, ",null"),
            };
        }
        body.push(']');
    }
    let _ = write!(body, r#"],"more":{}"#, page.next.is_some());
    let next = page.next.map(|(at, seq)| {
        let cursor = format!("{at}.{seq}");
        let step = step_s.map_or_else(String::new, |step_s| format!("&step_s={step_s}"));
        let (from, to) = (time(wanted.from_ms), time(wanted.to_ms));
        let link = format!("{path}?from={from}&to={to}{step}&cursor={cursor}");
        let _ = write!(body, r#","cursor":"{cursor}","next":"{link}""#);
        link
    });
    body.push('}');
    let mut response = json(StatusCode::OK, body);
    let link = next.and_then(|link| HeaderValue::from_str(&format!("<{link}>; rel=\"next\"")).ok());
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn stream<S: Source + Commands>(app: App<S>, wanted: Wanted, first: Page, known: &[Quantity]) -> Response {
    let mut response = Response::default();
    let columns = columns(known.iter().copied(), &first.measured);
    let name = format!("attachment; filename=\"{}.csv\"", wanted.device);
    pen::body(&mut response, |pen| write_csv(app, wanted, first, columns, pen));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

/// RFC 4180; a page of rows is held at a time.
async fn write_csv<S: Source + Commands>(
    app: App<S>,
    mut wanted: Wanted,
    mut page: Page,
    columns: Vec<Quantity>,
    mut pen: Pen,
) -> io::Result<()> {
    let mut piece = names(&columns).collect::<Vec<_>>().join(",");
    piece.push_str("\r\n");
    loop {
        for row in &page.rows {
            piece.push_str(&time(row.unix_ms));
            for quantity in &columns {
                piece.push(',');
                if let Some(value) = number(row, *quantity) {
                    // Writing to a text cannot fail.
                    let _ = write!(piece, "{value}");
                }
            }
            piece.push_str("\r\n");
            if piece.len() >= PIECE_BYTES {
                pen.put(std::mem::take(&mut piece)).await;
            }
        }
        pen.put(std::mem::take(&mut piece)).await;
        let Some(next) = page.next else { return Ok(()) };
        wanted.after = Some(next);
        // The rows that were written go before the next ones are gathered.
        drop(page);
        page = app.source.readings(wanted.clone(), PAGE_ROWS).await.map_err(io::Error::other)?;
    }
}
