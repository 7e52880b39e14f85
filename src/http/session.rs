//! What a caller may do, sessions of browsers, and tickets. Spec: `protocol-spec/http.md`, Who asks.

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::fields::{object, only, wrong};
use super::guard::Peer;
use super::manage::text;
use super::problem::Problem;
use super::reply::{self, Object, ok, read_json};
use super::seen::now_ms;
use super::tokens::{letters, random};
use super::who::{COOKIE, Caller, clear_cookie};
use super::{App, State};
use crate::access::ticket::TICKET_S;
use crate::access::{By, Grant, Kind, SESSION_IDLE_MS, Scope, TokenText};
use crate::device::{DeviceId, SessionId};
use crate::hub::{AccessRequest, Request};
use crate::json as views;
use crate::source::{Access, Commands, Source};

/// Longest path that a ticket is given for.
pub(super) const PATH_MAX: usize = 256;

pub(super) async fn show(Extension(caller): Extension<Caller>) -> Response {
    let open = match &caller {
        Caller::Refused { .. } => return caller.refusal(),
        Caller::Stranger => {
            let scopes: Vec<&str> = Vec::new();
            let nobody = Object::default().with("open", false).with("scopes", scopes);
            return ok(&nobody.with("token", Value::Null).with("devices", Value::Null));
        }
        Caller::Known { open, .. } => *open,
    };
    let who = caller.principal();
    let scopes: Vec<&str> = who.scopes().map(Scope::name).collect();
    let token = match &who.by {
        By::Token { id, name } => json!({ "id": id.as_str(), "name": &**name }),
        _ => Value::Null,
    };
    let devices = who.reach.as_ref().map(|ids| ids.iter().map(DeviceId::as_str).collect::<Vec<_>>());
    let view = Object::default()
        .with("open", open)
        .with("scopes", scopes)
        .with("token", token)
        .with("devices", devices);
    match who.ends_unix_ms {
        Some(ends) => ok(&view.with("expires_at", views::time(ends))),
        None => ok(&view),
    }
}

pub(super) async fn open<S: Source + Commands>(
    State(app): State<App<S>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_json(&headers, body).await?;
    let body = object(&body, "body")?;
    only(body, "", &["token"])?;
    let token = text(body, "token", &json!("a token"))?;
    let holder =
        TokenText::parse(&token).ok().and_then(|secret| app.source.book(|book| book.find(&secret, now_ms())));
    let Some((Grant::Token(token), by)) = holder.map(|holder| (holder.grant, holder.by)) else {
        return Err(Problem::unauthorized("no session can be opened with this token", true));
    };
    let secret = TokenText::mint(Kind::Session, random()?);
    let id = SessionId::parse(&format!("ses_{}", letters()?)).expect("ses_ and ten letters and digits");
    let request = AccessRequest::OpenSession { id, digest: secret.digest(), token };
    app.source.ask(by, Request::Access(request)).await?;
    // A proxy may have taken the TLS off; then the browser's side of it still is.
    let forwarded = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let secure = if peer.secure || forwarded { "; Secure" } else { "" };
    let cookie = format!(
        "{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age={}{secure}",
        secret.expose(),
        SESSION_IDLE_MS / 1000
    );
    let cookie = HeaderValue::from_str(&cookie).expect("letters, digits and punctuation are a header");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

pub(super) async fn close<S: Source + Commands>(State(app): State<App<S>>) -> Result<Response, Problem> {
    if let Grant::Session(id) = &app.source.who().grant {
        app.source.request(Request::Access(AccessRequest::CloseSession(id.clone()))).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, clear_cookie())]).into_response())
}

pub(super) async fn ticket<S: Source + Commands>(
    State(app): State<App<S>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_json(&headers, body).await?;
    let body = object(&body, "body")?;
    only(body, "", &["path"])?;
    let path = text(body, "path", &json!("a path such as /v1/events"))?;
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    if !path.starts_with('/') || !plain || path.len() > PATH_MAX {
        return Err(wrong("path", &body["path"], json!("a path such as /v1/events, without a query")));
    }
    let who = app.source.who();
    let ends_unix_ms = who.ends_unix_ms.into_iter().chain([now_ms() + TICKET_S * 1000]).min().unwrap_or(0);
    let ends_unix_s = ends_unix_ms / 1000;
    let ticket = app.settings.ticket_key.ticket(&path, &who.grant, ends_unix_s);
    let view = Object::default()
        .with("ticket", ticket)
        .with("path", &*path)
        .with("expires_at", views::time(ends_unix_s * 1000));
    Ok(reply::json(StatusCode::CREATED, views::text(&view)))
}
