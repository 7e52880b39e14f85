//! Tokens, and who changed what. Spec: `protocol-spec/http.md`, Tokens.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::ask::Query;
use super::events::pairs;
use super::fields::{object, only, wrong};
use super::manage::text;
use super::problem::{self, Problem};
use super::reply::{self, Object, ok, read_json};
use super::{App, State};
use crate::access::{AUDIT_MAX, By, Kind, Noted, RANDOM_BYTES, Reach, Scope, Token, TokenText};
use crate::device::{DeviceId, TokenId};
use crate::hub::{AccessRequest, Given, NewToken, Refused, Request};
use crate::json::{self as views, time};
use crate::source::{Access, Commands, Source};

/// Entries of an audit answer unless asked otherwise.
const AUDIT_DEFAULT: u64 = 100;

/// Devices that a token may be bound to; more are put into a group.
const DEVICES_MAX: usize = 256;

/// Longest life of a token that ends: ten years.
pub(super) const LIVES_MAX_S: u64 = 10 * 365 * 86_400;

pub(super) async fn list<S: Source + Commands>(State(app): State<App<S>>) -> Response {
    let tokens = app.source.book(|book| book.tokens().cloned().collect::<Vec<_>>());
    let shown = tokens.iter().map(|token| views::raw(&view(token))).collect();
    ok(&Object::default().list("tokens", shown))
}

pub(super) async fn one<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = token_id(&id)?;
    let token = app.source.book(|book| book.token(&id).cloned());
    token.map(|token| ok(&view(&token))).ok_or_else(|| Refused::UnknownToken(id).into())
}

pub(super) async fn add<S: Source + Commands>(
    State(app): State<App<S>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_json(&headers, body).await?;
    let body = object(&body, "body")?;
    only(body, "", &["name", "scope", "devices", "expires_in_s"])?;
    let name = text(body, "name", &json!("text"))?;
    let scope = scope(body)?;
    let reach = reach(&app.source, body, scope)?;
    let lives = lives(body)?;
    let (id, secret) = fresh(if scope == Scope::Admin { Kind::Admin } else { Kind::User })?;
    let new = NewToken { id, digest: secret.digest(), name, scope, reach, lives };
    made(&app, AccessRequest::Mint(new), &secret).await
}

pub(super) async fn rotate<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let token = token_id(&id)?;
    let known = app.source.book(|book| book.token(&token).cloned());
    let known = known.ok_or_else(|| Problem::from(Refused::UnknownToken(token.clone())))?;
    let (id, secret) = fresh(if known.scope == Scope::Admin { Kind::Admin } else { Kind::User })?;
    made(&app, AccessRequest::Rotate { token, id, digest: secret.digest() }, &secret).await
}

pub(super) async fn remove<S: Source + Commands>(
    State(app): State<App<S>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.source.request(Request::Access(AccessRequest::Revoke(token_id(&id)?))).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The new token with its text: the only answer that ever shows it.
async fn made<S: Source + Commands>(
    app: &App<S>,
    request: AccessRequest,
    secret: &TokenText,
) -> Result<Response, Problem> {
    let Given::Token(token) = app.source.request(Request::Access(request)).await? else {
        unreachable!("the hub answers a new token with the token");
    };
    let mut response =
        reply::json(StatusCode::CREATED, views::text(&view(&token).with("token", secret.expose())));
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/tokens/{}", token.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn scope(body: &Map<String, Value>) -> Result<Scope, Problem> {
    let words: Vec<&str> = Scope::ALL.into_iter().map(Scope::name).collect();
    let word = text(body, "scope", &json!(words))?;
    Scope::parse(&word).ok_or_else(|| wrong("scope", &body["scope"], json!(words)))
}

fn reach<S: Commands>(source: &S, body: &Map<String, Value>, scope: Scope) -> Result<Reach, Problem> {
    let Some(value) = body.get("devices").filter(|value| !value.is_null()) else { return Ok(None) };
    if scope > Scope::Switch {
        let detail = "a token that is bound to devices has the scope `read` or `switch`";
        return Err(Problem::wrong_field("scope", detail, json!(["read", "switch"])));
    }
    let wanted = json!("a list of ids of devices and groups");
    let ids = value.as_array().filter(|ids| (1..=DEVICES_MAX).contains(&ids.len()));
    let ids = ids.ok_or_else(|| wrong("devices", value, json!({ "min": 1, "max": DEVICES_MAX })))?;
    let known = |value: &Value| {
        let id = value.as_str().and_then(DeviceId::parse);
        let known = id.filter(|id| source.device(id).is_some());
        known.ok_or_else(|| wrong("devices", value, wanted.clone()))
    };
    Ok(Some(ids.iter().map(known).collect::<Result<Arc<_>, _>>()?))
}

fn lives(body: &Map<String, Value>) -> Result<Option<Duration>, Problem> {
    let Some(value) = body.get("expires_in_s").filter(|value| !value.is_null()) else { return Ok(None) };
    let fits = views::whole(value).filter(|seconds| (1..=LIVES_MAX_S).contains(seconds));
    let seconds =
        fits.ok_or_else(|| wrong("expires_in_s", value, json!({ "min": 1, "max": LIVES_MAX_S })))?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// A fresh id and secret.
fn fresh(kind: Kind) -> Result<(TokenId, TokenText), Problem> {
    let id = TokenId::parse(&format!("tok_{}", letters()?)).expect("tok_ and ten letters and digits");
    Ok((id, TokenText::mint(kind, random()?)))
}

/// Bytes that nobody can guess.
pub(super) fn random() -> Result<[u8; RANDOM_BYTES], Problem> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Problem::new(&problem::NO_RANDOMNESS, error.to_string()))?;
    Ok(bytes)
}

/// Ten letters and digits, for an id.
pub(super) fn letters() -> Result<String, Problem> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    Ok(random()?.iter().take(10).map(|byte| char::from(ALPHABET[usize::from(*byte) % 36])).collect())
}

fn token_id(text: &str) -> Result<TokenId, Problem> {
    let unknown = || Problem::new(&problem::UNKNOWN_TOKEN, format!("`{text}` is not the id of a token"));
    TokenId::parse(text).ok_or_else(unknown)
}

/// The Token object of the contract.
fn view(token: &Token) -> Object {
    let devices = token.reach.as_ref().map(|ids| ids.iter().map(DeviceId::as_str).collect::<Vec<_>>());
    let view = Object::default()
        .with("id", token.id.as_str())
        .with("name", &*token.name)
        .with("scopes", vec![token.scope.name()])
        .with("devices", devices)
        .with("created_at", time(token.created_unix_ms))
        .with("created_by", &*token.created_by)
        .with("expires_at", token.expires_unix_ms.map(time))
        .with("last_used_at", token.last_used_unix_ms.map(time));
    match token.retires_unix_ms {
        Some(retires) => view.with("retires_at", time(retires)),
        None => view,
    }
}

pub(super) async fn audit<S: Source + Commands>(
    State(app): State<App<S>>,
    uri: Uri,
) -> Result<Response, Problem> {
    let pairs = pairs(&uri);
    let limit = Query(&pairs).number("limit", 1, AUDIT_MAX as u64)?.unwrap_or(AUDIT_DEFAULT);
    let limit = usize::try_from(limit).unwrap_or(AUDIT_MAX);
    let entries: Vec<Arc<Noted>> = app.source.book(|book| book.noted().take(limit).cloned().collect());
    let shown = entries.iter().map(|noted| views::raw(&entry(&app.source, noted))).collect();
    Ok(ok(&Object::default().list("entries", shown)))
}

fn entry<S: Commands>(source: &S, noted: &Noted) -> Object {
    let by = match &noted.by {
        By::Token { id, name } => json!({ "id": id.as_str(), "name": &**name }),
        other => other.to_string().into(),
    };
    let mut view =
        Object::default().with("t", time(noted.unix_ms)).with("by", by).with("action", &*noted.action);
    if let Some(target) = &noted.target {
        view = view.with("target", &**target);
    }
    let Some(id) = &noted.command else { return view };
    view = view.with("command", id.as_str());
    match source.command(id) {
        Some(command) => view.with("outcome", command.state.name()),
        None => view,
    }
}
