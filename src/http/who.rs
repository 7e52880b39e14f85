//! Who asks: the token, cookie or ticket of a request, looked at before its handler. Decides by the scope in the
//! request's row; which devices are shown is [`super::seen`]'s. Spec: `protocol-spec/http.md`, Who asks.

use std::sync::{Arc, LazyLock};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::Root;
use super::events::pairs;
use super::guard::Peer;
use super::limits::Asker;
use super::problem::Problem;
use super::reply::texts;
use super::seen::now_ms;
use crate::access::{By, Grant, Principal, Scope, TokenText};
use crate::source::Access;

/// The cookie of a session.
pub(super) const COOKIE: &str = "plugline_session";

static LOCAL: LazyLock<Arc<Principal>> = LazyLock::new(|| Arc::new(Principal::local()));
static STRANGER: LazyLock<Arc<Principal>> = LazyLock::new(|| Arc::new(Principal::stranger()));

/// What a caller must have to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: the handler itself decides what it shows to strangers.
    Nothing,
    /// This scope.
    Scope(Scope),
}

/// Who asks; among the extensions of each request.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Somebody who may do something.
    Known {
        /// Who.
        who: Arc<Principal>,
        /// He need not have shown anything.
        open: bool,
    },
    /// He showed nothing, and something is asked for.
    Stranger,
    /// What he showed is good for nothing.
    Refused {
        /// Why, for people.
        why: &'static str,
        /// It was the cookie.
        cookie: bool,
    },
}

impl Caller {
    /// Who he is; for all but the known somebody who sees nothing.
    pub(super) fn principal(&self) -> Arc<Principal> {
        match self {
            Self::Known { who, .. } => Arc::clone(who),
            Self::Stranger | Self::Refused { .. } => Arc::clone(&STRANGER),
        }
    }

    /// That he must show something better.
    pub(super) fn refusal(&self) -> Response {
        let (detail, sent, cookie) = match self {
            Self::Refused { why, cookie } => (*why, true, *cookie),
            _ => ("send a token: Authorization: Bearer plgu_…", false, false),
        };
        let mut response = Problem::unauthorized(detail, sent).into_response();
        if cookie {
            // A browser would go on sending it.
            response.headers_mut().insert(header::SET_COOKIE, clear_cookie());
        }
        response
    }
}

/// A cookie that takes the session's place and is over at once.
pub(super) fn clear_cookie() -> HeaderValue {
    HeaderValue::from_static("plugline_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")
}

/// What a request showed.
enum Shown {
    Nothing,
    Token(String),
    Ticket(String),
    Cookie(String),
    /// More than one of a kind, or of another scheme.
    Odd(&'static str),
}

fn shown(request: &Request) -> Shown {
    let headers = request.headers();
    let mut authorization = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(value) = authorization.next() {
        let words = value.to_str().ok().and_then(|value| value.split_once(' '));
        return match words {
            _ if authorization.next().is_some() => Shown::Odd("Authorization stands there more than once"),
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => {
                Shown::Token(token.trim().to_owned())
            }
            _ => Shown::Odd("Authorization must be `Bearer` and a token"),
        };
    }
    let has_ticket = request.uri().query().is_some_and(|query| query.contains("ticket"));
    let ticket =
        has_ticket.then(|| pairs(request.uri()).into_iter().find(|(name, _)| name == "ticket")).flatten();
    if let Some((_, ticket)) = ticket {
        return Shown::Ticket(ticket);
    }
    cookie(headers).map_or(Shown::Nothing, |value| Shown::Cookie(value.to_owned()))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = texts(headers, header::COOKIE).flat_map(|line| line.split(';'));
    let mut named = pairs.filter_map(|pair| pair.trim().split_once('='));
    named.find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// Something on the way passed the request on for somebody else.
fn forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        matches!(name, "forwarded" | "x-real-ip" | "via") || name.starts_with("x-forwarded")
    })
}

/// Finds out who asks; for whom it is counted stands beside the request then.
pub(super) fn identify<S: Access>(root: &Root<S>, request: &mut Request) -> Caller {
    let caller = caller(root, request);
    if let Caller::Known { who, .. } = &caller {
        root.source.used(&who.grant, now_ms());
        if let By::Token { id, .. } = &who.by {
            request.extensions_mut().insert(Asker::Token(id.as_str().into()));
        }
    }
    caller
}

fn caller<S: Access>(root: &Root<S>, request: &Request) -> Caller {
    let near = request.extensions().get::<Peer>().is_some_and(|peer| peer.address.is_loopback());
    let open = root.open && near && !forwarded(request.headers());
    let now = now_ms();
    let find = |text: &str| {
        // Form and checksum first: what is no token at all is not looked up.
        let secret = TokenText::parse(text).ok()?;
        root.source.book(|book| book.find(&secret, now))
    };
    let is_session = |who: &Principal| matches!(who.grant, Grant::Session(_));
    let (found, why, cookie) = match shown(request) {
        Shown::Nothing if open => return Caller::Known { who: Arc::clone(&LOCAL), open },
        Shown::Nothing => return Caller::Stranger,
        Shown::Odd(why) => (None, why, false),
        Shown::Token(text) => {
            (find(&text).filter(|who| !is_session(who)), "this token is not good here, or no longer", false)
        }
        Shown::Cookie(text) => (find(&text).filter(is_session), "this session is over; sign in again", true),
        Shown::Ticket(text) => {
            let grant = root.settings.ticket_key.check(&text, request.uri().path(), now);
            let grant = grant.filter(|grant| open || *grant != Grant::Local);
            let who = grant.and_then(|grant| root.source.book(|book| book.holder(&grant, now)));
            (who, "this ticket is over, or for another path; POST /v1/tickets gives another", false)
        }
    };
    match found {
        Some(who) => Caller::Known { who: Arc::new(who), open },
        None => Caller::Refused { why, cookie },
    }
}

/// What one is told who has not what the row needs.
pub(super) fn refuse(need: Need, caller: &Caller) -> Option<Response> {
    let Need::Scope(scope) = need else { return None };
    match caller {
        Caller::Known { who, .. } if who.may(scope) => None,
        Caller::Known { who, .. } => Some(short_of(scope, who).into_response()),
        Caller::Stranger | Caller::Refused { .. } => Some(caller.refusal()),
    }
}

fn short_of(scope: Scope, who: &Principal) -> Problem {
    let detail = format!("this needs the scope `{}`; the token has `{}`", scope.name(), who.scope.name());
    Problem::short_of(scope, detail)
}
