//! Small things that every answer needs: objects whose members keep their order, JSON answers, request bodies
//! within their limits.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::problem::{self, Problem};
use super::slow::TooSlow;
use crate::json;

/// Largest request body that is taken.
pub(super) const BODY_MAX: usize = 64 * 1024;
/// What is read beyond the limit and thrown away, so that the sender hears the 413 and not a reset connection.
const BODY_DRAIN: usize = 1024 * 1024;

/// A JSON object whose members stand in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(super) struct Object(Vec<(String, Member)>);

#[derive(Clone, Debug)]
enum Member {
    Value(Value),
    Object(Object),
    List(Vec<Box<RawValue>>),
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, member) in &self.0 {
            map.serialize_entry(name, member)?;
        }
        map.end()
    }
}

impl Object {
    fn push(mut self, name: impl Into<String>, member: Member) -> Self {
        self.0.push((name.into(), member));
        self
    }

    /// Adds a value.
    #[must_use]
    pub(super) fn with(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.push(name, Member::Value(value.into()))
    }

    /// Adds an object.
    #[must_use]
    pub(super) fn object(self, name: impl Into<String>, object: Self) -> Self {
        self.push(name, Member::Object(object))
    }

    /// Adds a list of what is JSON already.
    #[must_use]
    pub(super) fn list(self, name: impl Into<String>, list: Vec<Box<RawValue>>) -> Self {
        self.push(name, Member::List(list))
    }

    /// Adds all members of another object.
    #[must_use]
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }
}

/// Answers JSON that is not to be kept by anybody on the way.
#[must_use]
pub(super) fn json(status: StatusCode, text: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, text).into_response()
}

/// Answers a view as JSON with status 200.
#[must_use]
pub(super) fn ok(view: &impl Serialize) -> Response {
    json(StatusCode::OK, json::text(view))
}

/// The values of a header that are text.
pub(super) fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

/// Says that a preference for waiting was heeded.
pub(super) fn applied(response: &mut Response, preferred_s: Option<u64>) {
    let value = preferred_s.and_then(|seconds| HeaderValue::from_str(&format!("wait={seconds}")).ok());
    if let Some(value) = value {
        response.headers_mut().insert(HeaderName::from_static("preference-applied"), value);
    }
}

/// What `Content-Type` says, without parameters; empty when it is missing.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let kind = texts(headers, header::CONTENT_TYPE).next().unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

/// Checks that a body is declared as JSON.
///
/// # Errors
/// A [`Problem`] that tells what it is declared as.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = content_type(headers);
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let got = if kind.is_empty() { "missing".to_owned() } else { format!("`{kind}`") };
    Err(Problem::new(&problem::NOT_JSON, format!("Content-Type is {got}, wanted `application/json`")))
}

/// Reads a body that must be JSON.
///
/// # Errors
/// A [`Problem`]: not declared as JSON, too big, too slow, broken, or not JSON (with line and column).
pub(super) async fn read_json(headers: &HeaderMap, body: Body) -> Result<Value, Problem> {
    read_json_up_to(headers, body, BODY_MAX).await
}

/// As [`read_json`], for bodies that may be as large as `max` bytes.
///
/// # Errors
/// As [`read_json`].
pub(super) async fn read_json_up_to(headers: &HeaderMap, body: Body, max: usize) -> Result<Value, Problem> {
    is_json(headers)?;
    let bytes = read(headers, body, max).await?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::new(&problem::BAD_JSON, error.to_string()))
}

async fn read(headers: &HeaderMap, mut body: Body, max: usize) -> Result<Vec<u8>, Problem> {
    let declared = texts(headers, header::CONTENT_LENGTH).next().and_then(|text| text.parse::<usize>().ok());
    let too_big = || Problem::new(&problem::TOO_BIG, format!("the body is larger than {max} bytes"));
    if declared.is_some_and(|length| length > max + BODY_DRAIN) {
        return Err(too_big());
    }
    let (mut bytes, mut seen) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| unreadable(&error))?;
        let data: Bytes = frame.into_data().unwrap_or_default();
        seen += data.len();
        if seen > max + BODY_DRAIN {
            break;
        }
        if seen <= max {
            bytes.extend_from_slice(&data);
        }
    }
    if seen > max { Err(too_big()) } else { Ok(bytes) }
}

fn unreadable(error: &axum::Error) -> Problem {
    match TooSlow::within(error) {
        Some(slow) => Problem::new(&problem::TIMED_OUT, slow.to_string()),
        None => Problem::new(&problem::BAD_BODY, error.to_string()),
    }
}
