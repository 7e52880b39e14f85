//! What every request passes before it is routed, and every answer on its way out: is it addressed to us, may the page
//! that sends it change anything, which page may read the answer. The decisions are in [`host`] and [`origin`].
//! Spec: `protocol-spec/http.md`, Guards.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};

pub mod host;
pub mod origin;
mod proxy;

use super::problem::{self, Problem};
use super::reply::{content_type, is_json, texts};
use host::{Authority, Hosts};
use origin::{From, Origin, Way};

/// How long a browser may remember what a preflight told: so long a change of the configuration goes unnoticed.
const PREFLIGHT_AGE_S: &str = "600";
/// Methods that pages elsewhere may use.
const METHODS: &str = "GET, POST, PATCH, PUT, DELETE";
/// Headers that they may set.
const HEADERS: &str =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer";
/// Headers of answers that they may read.
const EXPOSED: &str = "Link, Location, ETag, Retry-After, RateLimit, RateLimit-Policy, Preference-Applied, \
                       Idempotency-Replayed";
/// A page of ours loads only from here, runs nothing written into it, and stands in nobody's frame.
const PAGE_POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// Where a body is no JSON. What a form can send (text, form data) is refused there too.
const OTHER_BODIES: &[&str] = &["/v1/restore"];
/// Bodies that a page of a stranger may send without asking first (Fetch standard, CORS-safelisted).
const UNASKED: [&str; 4] = ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const ASK_PRIVATE: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// What the configuration says of guarding.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The hosts that are us.
    pub hosts: Hosts,
    /// Origins whose pages may use the API.
    pub origins: Vec<Origin>,
    /// Addresses of proxies that are believed when they say who asks.
    pub proxies: Vec<IpAddr>,
}

/// The two ends of a connection; every request carries it among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// Who asks: a proxy, where one stands in front that is not listed.
    pub(super) address: IpAddr,
    /// Our own address there.
    pub(super) local: IpAddr,
    /// The connection is over TLS.
    pub(super) secure: bool,
}

impl Peer {
    /// The peer behind a listed proxy, as it tells; this one otherwise.
    pub(super) fn behind(self, rules: &Rules, headers: &HeaderMap) -> Self {
        Self { address: proxy::behind(&rules.proxies, self.address, headers), ..self }
    }
}

/// What is answered at once, when the request must not go further. It needs [`dress`] as every other answer.
pub(super) fn refuse(rules: &Rules, request: &Parts, has_body: bool, peer: Peer) -> Option<Response> {
    match look(rules, request, has_body, peer) {
        Ok(preflight) => preflight,
        Err(problem) => Some(problem.into_response()),
    }
}

fn look(rules: &Rules, request: &Parts, has_body: bool, peer: Peer) -> Result<Option<Response>, Problem> {
    let to = addressed(rules, request, peer)?;
    let from = way(request, to.as_ref(), peer.secure).judge(&rules.origins);
    if is_preflight(request) {
        return preflight(request, from).map(Some);
    }
    if matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(None);
    }
    if from == From::Stranger {
        return Err(cross_site(request));
    }
    body_kind(request, has_body).map(|()| None)
}

/// Whom the request is addressed to; `None` in HTTP/1.0, which need not say it, and which no browser speaks.
fn addressed(rules: &Rules, request: &Parts, peer: Peer) -> Result<Option<Authority>, Problem> {
    let bad = |detail: &str| Problem::new(&problem::BAD_HOST, detail);
    let mut lines = request.headers.get_all(header::HOST).iter();
    let (line, more) = (lines.next(), lines.next());
    if more.is_some() {
        return Err(bad("Host stands there more than once"));
    }
    let mut to = None;
    let line = line.map(|line| line.to_str().unwrap_or_default());
    // What stands in the request's first line wins over Host, so both must be good.
    for text in line.into_iter().chain(request.uri.authority().map(|authority| authority.as_str())) {
        let authority = Authority::parse(text).ok_or_else(|| bad("Host is no host and port"))?;
        if !rules.hosts.admit(&authority.host, peer.local) {
            let detail = "this gateway does not go by the name in Host; `[http] names` lists further names";
            return Err(Problem::new(&problem::MISDIRECTED, detail));
        }
        to = Some(authority);
    }
    if to.is_none() && request.version != Version::HTTP_10 {
        return Err(bad("Host is missing"));
    }
    Ok(to)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    // A header that is no text is as foreign as can be.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn way<'a>(request: &'a Parts, to: Option<&'a Authority>, secure: bool) -> Way<'a> {
    let headers = &request.headers;
    Way { origin: text(headers, header::ORIGIN), site: text(headers, SITE), to, secure }
}

fn is_preflight(request: &Parts) -> bool {
    request.method == Method::OPTIONS
        && request.headers.contains_key(header::ORIGIN)
        && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Tells a browser what a page elsewhere may do.
fn preflight(request: &Parts, from: From) -> Result<Response, Problem> {
    if from == From::Stranger {
        return Err(cross_site(request));
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE_S));
    if request.headers.contains_key(ASK_PRIVATE) {
        headers.insert(ALLOW_PRIVATE, HeaderValue::from_static("true"));
    }
    Ok(response)
}

fn cross_site(request: &Parts) -> Problem {
    let detail = match text(&request.headers, header::ORIGIN) {
        Some(_) => "the page that sends this has an origin that is neither ours nor in `[http] cors_origins`",
        None => "a page of another site sends this",
    };
    Problem::new(&problem::CROSS_SITE, detail)
}

/// A body that a form could send needs no leave of ours to be sent by any page; JSON does.
fn body_kind(request: &Parts, has_body: bool) -> Result<(), Problem> {
    let kind = content_type(&request.headers);
    let other = OTHER_BODIES.contains(&request.uri.path())
        && !UNASKED.iter().any(|unasked| kind.eq_ignore_ascii_case(unasked));
    if !has_body || other { Ok(()) } else { is_json(&request.headers) }
}

/// The page that may read the answer, if one of the listed asked.
pub(super) fn reader(rules: &Rules, request: &Parts) -> Option<HeaderValue> {
    let origin = request.headers.get(header::ORIGIN)?;
    let way = Way { origin: origin.to_str().ok(), site: None, to: None, secure: false };
    (way.judge(&rules.origins) == From::Listed).then(|| origin.clone())
}

/// What every answer carries.
pub(super) fn dress(rules: &Rules, reader: Option<HeaderValue>, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let is_page = texts(headers, header::CONTENT_TYPE).any(|kind| kind.starts_with("text/html"));
    if is_page && !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    }
    if rules.origins.is_empty() {
        return;
    }
    // Who keeps answers must not show one page's to another.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = reader {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
}

#[cfg(test)]
mod tests;
