//! What a request asks for in its query and headers: position, waiting, filter. Pure: text in, values out.
//!
//! Numbers out of range are clamped, bad syntax is refused. Spec: `protocol-spec/http.md`, Events.

use std::time::Duration;

use super::cursor;
use crate::hub::feed::{Body, Event};

/// Longest hold of a request; proxies commonly cut silence at 60 s.
pub const WAIT_MAX_S: u64 = 50;
/// Most events of one long-poll answer.
pub const LIMIT_MAX: u64 = 1000;
/// Events of one long-poll answer unless asked otherwise.
pub const LIMIT_DEFAULT: u64 = 500;

/// A parameter that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is `{got}`, wanted {wanted}")]
pub struct BadParameter {
    /// The parameter or header.
    pub field: &'static str,
    /// What came.
    pub got: String,
    /// What it must be, for people.
    pub wanted: &'static str,
}

/// The decoded pairs of a query.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a>(pub &'a [(String, String)]);

impl Query<'_> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that is given once or not at all.
    ///
    /// # Errors
    /// [`BadParameter`] when it is given twice.
    pub fn one(&self, field: &'static str) -> Result<Option<&str>, BadParameter> {
        let mut all = self.all(field);
        let first = all.next();
        match all.next() {
            Some(second) => Err(BadParameter { field, got: second.to_owned(), wanted: "to be given once" }),
            None => Ok(first),
        }
    }

    /// A decimal number, clamped.
    ///
    /// # Errors
    /// [`BadParameter`] when it is no number, or given twice.
    pub fn number(&self, field: &'static str, low: u64, high: u64) -> Result<Option<u64>, BadParameter> {
        let Some(text) = self.one(field)? else { return Ok(None) };
        let bad = BadParameter { field, got: text.to_owned(), wanted: "a whole decimal number" };
        clamped(text, low, high).map(Some).ok_or(bad)
    }

    fn names(&self, field: &'static str) -> Result<Option<Vec<String>>, BadParameter> {
        let mut names: Option<Vec<String>> = None;
        for value in self.all(field) {
            let parts = value.split(',').filter(|part| !part.is_empty()).map(str::to_owned);
            let count = names.as_ref().map_or(0, Vec::len);
            names.get_or_insert_default().extend(parts);
            if names.as_ref().map_or(0, Vec::len) == count {
                return Err(BadParameter { field, got: value.to_owned(), wanted: "at least one name" });
            }
        }
        Ok(names)
    }

    /// A switch that is on at `1` or `true` and off at `0`, `false` or when absent.
    ///
    /// # Errors
    /// [`BadParameter`] for any other value.
    pub fn flag(&self, field: &'static str) -> Result<bool, BadParameter> {
        match self.one(field)? {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(other) => Err(BadParameter { field, got: other.to_owned(), wanted: "`1` or `0`" }),
        }
    }
}

/// A decimal number of any length, clamped; `None` when it is not one.
fn clamped(text: &str, low: u64, high: u64) -> Option<u64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Digits that do not fit 64 bits are still a number, only a large one.
    let value = if negative { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    Some(value.clamp(low, high))
}

/// How long a request may be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// At most this long, 0 … 50 s.
    pub time: Duration,
    /// It was asked for by `Prefer`, so the answer says `Preference-Applied` with these seconds.
    pub preferred_s: Option<u64>,
}

impl Wait {
    /// From `?wait=` or, without it, the `Prefer` headers. A preference that cannot be understood is no preference
    /// (RFC 7240 §2).
    ///
    /// # Errors
    /// [`BadParameter`] when the query's value is no number.
    pub fn parse<'h>(
        query: Query<'_>,
        prefer: impl IntoIterator<Item = &'h str>,
    ) -> Result<Self, BadParameter> {
        if let Some(seconds) = query.number("wait", 0, WAIT_MAX_S)? {
            return Ok(Self { time: Duration::from_secs(seconds), preferred_s: None });
        }
        let preferred_s = prefer.into_iter().find_map(preferred_wait);
        Ok(Self { time: Duration::from_secs(preferred_s.unwrap_or(0)), preferred_s })
    }
}

fn preferred_wait(header: &str) -> Option<u64> {
    header.split(',').find_map(|preference| {
        let bare = preference.split(';').next().unwrap_or_default();
        let (name, value) = bare.split_once('=')?;
        let digits = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("wait").then(|| clamped(digits, 0, WAIT_MAX_S)).flatten()
    })
}

/// `Accept` names `text/event-stream`.
pub fn wants_stream<'h>(accept: impl IntoIterator<Item = &'h str>) -> bool {
    accepts(accept, "text/event-stream")
}

/// `Accept` names this type; a range such as `*/*` does not.
pub fn accepts<'h>(accept: impl IntoIterator<Item = &'h str>, wanted: &str) -> bool {
    accept.into_iter().flat_map(|header| header.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(wanted));
        // A weight of zero says "not this one".
        let refused = parts.any(|part| {
            part.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
        });
        named && !refused
    })
}

/// Which events a reader wants; a list that is absent lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Sorted: a body may name more than a thousand.
    devices: Option<Vec<String>>,
    kinds: Option<Vec<String>>,
}

impl Filter {
    /// The event passes.
    #[must_use]
    pub fn lets(&self, event: &Event) -> bool {
        let kind_fits =
            self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind == event.fresh.body.kind()));
        let device = event.fresh.device.as_ref().map(crate::device::DeviceId::as_str);
        let device_fits = self.devices.as_ref().is_none_or(|devices| {
            device.is_some_and(|id| devices.binary_search_by(|of| (**of).cmp(id)).is_ok())
        });
        let erased = matches!(event.fresh.body, Body::Erased);
        kind_fits && device_fits && !erased
    }
}

fn sorted(names: Option<Vec<String>>) -> Option<Vec<String>> {
    names.map(|mut names| {
        names.sort_unstable();
        names
    })
}

/// What `GET /v1/events` was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsAsk {
    /// From where.
    pub from: cursor::Start,
    /// How long a long-poll may be held.
    pub wait: Wait,
    /// Most events of a long-poll answer.
    pub limit: usize,
    /// Which.
    pub filter: Filter,
    /// A stream whose cursor is unusable gets the 410 instead of a `reset`.
    pub strict: bool,
    /// A stream that goes on from nowhere begins with the snapshot.
    pub snapshot: bool,
}

impl EventsAsk {
    /// From the query, `Last-Event-ID` (which wins over `after`) and `Prefer`.
    ///
    /// # Errors
    /// [`BadParameter`] with the first thing that cannot be understood, also when a better one overrides it.
    pub fn parse<'h>(
        query: Query<'_>,
        last_event_id: Option<&str>,
        prefer: impl IntoIterator<Item = &'h str>,
    ) -> Result<Self, BadParameter> {
        let position = |field, text: &str| {
            cursor::Start::parse(text).ok_or(BadParameter {
                field,
                got: text.to_owned(),
                wanted: "a cursor `<epoch>.<seq>`, `earliest` or `now`",
            })
        };
        let after = query.one("after")?.map(|text| position("after", text)).transpose()?;
        let last = last_event_id.filter(|text| !text.is_empty());
        let last = last.map(|text| position("Last-Event-ID", text)).transpose()?;
        let limit = query.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
        Ok(Self {
            from: last.or(after).unwrap_or_default(),
            wait: Wait::parse(query, prefer)?,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            filter: Filter { devices: sorted(query.names("device")?), kinds: query.names("kind")? },
            strict: query.flag("strict")?,
            snapshot: query.flag("snapshot")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pairs: &[(&str, &str)], last: Option<&str>, prefer: &[&str]) -> Result<EventsAsk, BadParameter> {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        EventsAsk::parse(Query(&pairs), last, prefer.iter().copied())
    }

    #[test]
    fn numbers_out_of_range_are_clamped_and_bad_ones_refused_by_name() {
        let of = |wait, limit| ask(&[("wait", wait), ("limit", limit)], None, &[]);
        let numbers = |wait, limit| of(wait, limit).map(|ask| (ask.wait.time.as_secs(), ask.limit));
        assert_eq!(numbers("51", "1001"), Ok((50, 1000)));
        assert_eq!(numbers("99999999999999999999999", "0"), Ok((50, 1)));
        assert_eq!(numbers("-1", "-7"), Ok((0, 1)));
        for bad in ["", "x", "1.5", "1s", "--1", " 1", "-"] {
            assert_eq!(numbers(bad, "1").expect_err(bad).field, "wait");
            assert_eq!(numbers("1", bad).expect_err(bad).field, "limit");
        }
    }

    #[test]
    fn the_last_event_id_wins_over_after() {
        let got = ask(&[("after", "earliest")], Some("k3f9q2mz.4"), &[]).expect("good");
        assert!(matches!(got.from, cursor::Start::Cursor { seq: 4, .. }));
        assert_eq!(ask(&[("after", "earliest")], Some(""), &[]).expect("good").from, cursor::Start::Earliest);
        assert_eq!(ask(&[], None, &[]).expect("good").from, cursor::Start::Now);
        assert_eq!(ask(&[], Some("x"), &[]).expect_err("bad").field, "Last-Event-ID");
        assert_eq!(ask(&[("after", "x")], Some("k3f9q2mz.4"), &[]).expect_err("bad").field, "after");
        assert_eq!(ask(&[("after", "now"), ("after", "now")], None, &[]).expect_err("twice").field, "after");
    }

    #[test]
    fn the_query_beats_the_preference() {
        let both = ask(&[("wait", "3")], None, &["wait=9"]).expect("good").wait;
        assert_eq!(both, Wait { time: Duration::from_secs(3), preferred_s: None });
        let alone = ask(&[], None, &["respond-async, Wait = \"99\"; foo"]).expect("good").wait;
        assert_eq!(alone, Wait { time: Duration::from_secs(50), preferred_s: Some(50) });
        assert_eq!(ask(&[], None, &["wait=soon"]).expect("ignored").wait, Wait::default());
    }

    #[test]
    fn an_accept_header_asks_for_a_stream_only_by_name() {
        assert!(wants_stream(["text/event-stream"]));
        assert!(wants_stream(["application/json", "Text/Event-Stream;q=0.5"]));
        assert!(!wants_stream(["*/*"]));
        assert!(!wants_stream(["text/event-stream;q=0, application/json"]));
        assert!(!wants_stream([]));
    }

    #[test]
    fn an_empty_list_of_names_is_refused() {
        assert_eq!(ask(&[("kind", "")], None, &[]).expect_err("empty").field, "kind");
        assert_eq!(ask(&[("device", "a"), ("device", "")], None, &[]).expect_err("empty").field, "device");
        let kinds = ask(&[("kind", "a,,b"), ("kind", "c")], None, &[]).expect("good").filter.kinds;
        assert_eq!(kinds.expect("a list"), ["a", "b", "c"]);
    }
}
