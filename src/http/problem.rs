//! Problems (RFC 9457): one table of their names, used for the answers and for the page that explains each.
//! Spec: `protocol-spec/http.md`, Errors.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::ask::BadParameter;
use super::reply::Object;
use crate::access::Scope;
use crate::hub::Refused;
use crate::json;
use crate::source::{Expired, Identity, ReadBroken, Span};

/// A kind of problem.
#[derive(Debug)]
pub struct Kind {
    /// Last part of `type`.
    pub name: &'static str,
    /// HTTP status.
    pub status: u16,
    /// `title`: the same words every time.
    pub title: &'static str,
    /// What it means and what to do, for the page.
    pub about: &'static str,
}

macro_rules! kinds {
    ($($constant:ident = $name:literal $status:literal $title:literal $about:literal)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $title, ".")]
            pub static $constant: Kind =
                Kind { name: $name, status: $status, title: $title, about: $about };
        )*
        /// All kinds.
        pub static KINDS: &[&Kind] = &[$(&$constant),*];
    };
}

kinds! {
    BAD_PARAMETER = "bad-parameter" 400 "A parameter cannot be understood"
        "The parameter or header named in `field` has a value of the wrong form. Numbers that are merely out of range are clamped and never refused."
    BAD_JSON = "bad-json" 400 "The body is not JSON"
        "The detail says at which line and column reading stopped."
    BAD_BODY = "bad-body" 400 "The body could not be read"
        "The connection broke or the body's framing is wrong."
    BAD_HOST = "bad-host" 400 "Host is missing or damaged"
        "Every request names whom it is addressed to, once: a host, and a port where it is not the usual one."
    CROSS_SITE = "cross-site" 403 "A page of another site may not change anything"
        "The browser says that the request comes from a page that is not the gateway's own. List the page's origin in `[http] cors_origins` if it is yours. A proxy in front must pass Host on as the browser sent it."
    UNAUTHORIZED = "unauthorized" 401 "A token is needed"
        "Send `Authorization: Bearer` and a token, a session's cookie, or a ticket. No token is asked for only on the gateway's own machine, where nothing stands in between and `[http] names` is empty. An administrator makes tokens: POST /v1/tokens or `plugline token add`."
    INSUFFICIENT_SCOPE = "insufficient-scope" 403 "The token may not do this"
        "Scopes are read, switch, manage and admin; each includes those before it. GET /v1/session tells what yours may do. A token that is bound to devices may do nothing that concerns more than them."
    NOT_FOUND = "not-found" 404 "Nothing is here"
        "The path names nothing. GET / lists what there is."
    UNKNOWN_DEVICE = "unknown-device" 404 "No such device"
        "No device of this id is in the registry. GET /v1/devices lists all of them; ids never change, names may."
    UNKNOWN_COMMAND = "unknown-command" 404 "No such command"
        "The command was never accepted here, or it settled so long ago that it is no longer kept."
    UNKNOWN_GROUP = "unknown-group" 404 "No such group"
        "No group of this id is in the registry. GET /v1/groups lists all of them."
    UNKNOWN_LINE = "unknown-line" 404 "No such line"
        "No line of the configuration has this name. GET /v1/lines lists them."
    UNKNOWN_TOKEN = "unknown-token" 404 "No such token"
        "It was never made here, or it was removed or is over. GET /v1/tokens lists all."
    METHOD_NOT_ALLOWED = "method-not-allowed" 405 "This method is not for this path"
        "The Allow header lists the methods that are."
    TIMED_OUT = "timed-out" 408 "The body did not arrive in time"
        "Send the body right behind the head."
    STATE_UNKNOWN = "state-unknown" 409 "The relay was not heard yet"
        "Only absolute values are queued. A toggle is turned into on or off when it is accepted, and nothing is known to turn it from. Send `switch` with `on`, or `read` first."
    NOT_QUEUED = "not-queued" 409 "The command is no longer queued"
        "Only a command that was not sent yet can be taken back. GET the command to see how far it came."
    ADDRESS_TAKEN = "address-taken" 409 "A device has this address already"
        "Each place on a line belongs to one device. Remove the other device, or replace it."
    NAME_TAKEN = "name-taken" 409 "A device has this name already"
        "Names are for people and must tell devices apart."
    NO_JOINING = "no-joining" 409 "Devices do not join this line that way"
        "GET /v1/gateway tells for each line how devices come to it (`joins`): `call`, `button`, `code`, `label`. Any line takes POST /v1/devices."
    FEWER_CAPABILITIES = "fewer-capabilities" 409 "The new hardware can do less"
        "Replacing keeps what others rely on: relay and quantities. Add the hardware as a device of its own instead."
    TOO_MANY_TOKENS = "too-many-tokens" 409 "There are too many tokens"
        "Remove one that is no longer used; `last_used_at` tells which."
    TOKEN_RETIRES = "token-retires" 409 "The token was rotated already"
        "It ends a day after that. Rotate the one that followed it."
    IN_CONFIGURATION = "in-configuration" 409 "The device stands in the configuration"
        "It would come back at the next start. Take it out of the configuration file and restart."
    LINE_GONE = "line-gone" 409 "The line is not configured"
        "The device was registered on a line that the configuration no longer has."
    TOO_MANY_GROUPS = "too-many-groups" 409 "There are as many groups as there may be"
        "Remove a group that is not used any more."
    EMPTY_GROUP = "empty-group" 409 "The group has no members"
        "There is nobody to command. A group stays when its last member is removed; give it members or remove it."
    NO_CONFIGURATION = "no-configuration" 409 "There is no configuration file"
        "The gateway was started without one, as `plugline demo` is. Nothing can be changed for its next start."
    OVERRIDDEN = "overridden" 409 "The environment has the last word"
        "The key in `field` is set by an environment variable of the gateway, which beats the file. Change it where the gateway is started."
    CURSOR_EXPIRED = "cursor-expired" 410 "The cursor is outside of what is kept"
        "`reason` is `trimmed` (events after the cursor were removed by age or size), `epoch_changed` (the log was lost or restored; old cursors mean nothing in it) or `ahead` (the log never reached it). Fetch `snapshot` and go on from its `cursor`, or from `oldest` to take everything that is kept."
    TOO_BIG = "too-big" 413 "The body is too big"
        "Bodies may have 64 KiB."
    NOT_JSON = "not-json" 415 "The body must be JSON"
        "Send Content-Type: application/json."
    MISDIRECTED = "misdirected" 421 "This is not the host that was asked for"
        "The gateway answers to localhost, its own addresses, its host name with and without `.local`, and the names in `[http] names`. Other names may belong to pages that try to reach it through a browser."
    WRONG_FIELD = "wrong-field" 422 "A field is wrong"
        "`field` names it, `allowed` says what it may be: a list of values, or `min` and `max`."
    BAD_BACKUP = "bad-backup" 422 "The backup is refused"
        "The detail says at which line and why: it is no backup, was cut off or changed, comes from a newer version, or the passphrase is missing or another one. Nothing was changed."
    WRONG_CONFIGURATION = "wrong-configuration" 422 "That would be no good configuration"
        "The detail says what is wrong, `line` and `column` where it stands. The file is as it was, and the gateway runs on."
    KEY_REUSED = "key-reused" 422 "The Idempotency-Key stood for another request"
        "The same key with the same body gives the same command again; a new wish needs a new key."
    NOT_SUPPORTED = "not-supported" 422 "The device cannot do that"
        "The device's `capabilities` say what it can."
    TOO_MANY_WATCHERS = "too-many-watchers" 429 "Too many look at this line"
        "Each live view and each capture is one. End one of them, or wait until one is over."
    QUEUE_FULL = "queue-full" 429 "Too many commands wait for this device"
        "Wait for their outcome, or cancel some. Retry-After says when it is worth trying again."
    RATE_LIMITED = "rate-limited" 429 "Too much at once"
        "Retry-After says when to come back, RateLimit and RateLimit-Policy what is allowed. Readers that wait for events (`wait=25`, or a stream) need not ask often. `[http]` of the configuration has the figures."
    LOG_UNREADABLE = "log-unreadable" 503 "The event log cannot be read"
        "The disk failed or is behind. Cursors stay good; try again."
    STORE_BROKEN = "store-broken" 503 "The registry cannot be written"
        "A command is taken in when it is on disk, and the disk is full or failed. Nothing was changed; /healthz says why. It is tried again for ever."
    FILE_TROUBLE = "file-trouble" 503 "A file cannot be read or written"
        "The detail names it. The gateway's user needs the right to write the file and its folder."
    NO_RANDOMNESS = "no-randomness" 503 "The system gives no randomness"
        "No secret can be made now. Try again."
    NOT_ERASED = "not-erased" 503 "Not everything was erased"
        "The disk failed meanwhile. What was erased stays erased; ask again."
    STOPPING = "stopping" 503 "The gateway is stopping"
        "Try again in a few seconds."
    NOT_LIVE = "not-live" 503 "The event loop does not answer"
        "A supervisor should restart the gateway."
    TOO_MANY_CONNECTIONS = "too-many-connections" 503 "Too many connections are open"
        "The gateway holds as many connections as it may. Try again in a few seconds, and share one feed among readers."
}

/// One problem, on its way to the one who asked.
#[derive(Debug)]
pub struct Problem {
    kind: &'static Kind,
    detail: String,
    more: Object,
    retry_after_s: Option<u32>,
    /// `WWW-Authenticate`.
    challenge: Option<HeaderValue>,
}

impl Problem {
    /// A problem of a kind; `detail` is about this very case.
    #[must_use]
    pub fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        let retry_after_s = (kind.status == 503).then_some(5);
        Self { kind, detail: detail.into(), more: Object::default(), retry_after_s, challenge: None }
    }

    /// It is worth trying again after this time.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.retry_after_s = Some(u32::try_from(super::limits::seconds(time)).unwrap_or(u32::MAX));
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.more = self.more.with(name, value.into());
        self
    }

    /// A field that is wrong, and what it may be.
    #[must_use]
    pub fn wrong_field(field: &str, detail: impl Into<String>, allowed: Value) -> Self {
        Self::new(&WRONG_FIELD, detail).with("field", field).with("allowed", allowed)
    }

    /// That a token is needed; `sent`: one was, and it is good for nothing.
    #[must_use]
    pub fn unauthorized(detail: &str, sent: bool) -> Self {
        let challenge = if sent { "Bearer error=\"invalid_token\"" } else { "Bearer" };
        let challenge = Some(HeaderValue::from_static(challenge));
        Self { challenge, ..Self::new(&UNAUTHORIZED, detail) }
    }

    /// That this scope is needed.
    #[must_use]
    pub fn short_of(scope: Scope, detail: impl Into<String>) -> Self {
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{}\"", scope.name());
        let challenge = HeaderValue::from_str(&challenge).ok();
        Self { challenge, ..Self::new(&INSUFFICIENT_SCOPE, detail).with("scope", scope.name()) }
    }

    /// An unusable cursor in the log of `identity`.
    #[must_use]
    pub fn expired(why: Expired, identity: &Identity, span: Span) -> Self {
        let detail = match why {
            Expired::Trimmed => "Events after this cursor are no longer kept.",
            Expired::EpochChanged => "This cursor is of another log; that log was lost or replaced.",
            Expired::Ahead => "The log has not reached this cursor.",
        };
        Self::new(&CURSOR_EXPIRED, detail)
            .with("reason", why.name())
            .with("oldest", json::cursor(identity, span.oldest))
            .with("latest", json::cursor(identity, span.head))
            .with("snapshot", super::SNAPSHOT)
    }

    /// The problem object.
    #[must_use]
    pub fn body(&self) -> String {
        let view = Object::default()
            .with("type", format!("/problems/{}", self.kind.name))
            .with("title", self.kind.title)
            .with("status", self.kind.status)
            .with("detail", self.detail.as_str())
            .and(&self.more);
        json::text(&view)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() =
            StatusCode::from_u16(self.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<BadParameter> for Problem {
    fn from(bad: BadParameter) -> Self {
        Self::new(&BAD_PARAMETER, bad.to_string()).with("field", bad.field)
    }
}

impl From<ReadBroken> for Problem {
    fn from(broken: ReadBroken) -> Self {
        Self::new(&LOG_UNREADABLE, broken.to_string())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::UnknownDevice(_) => Self::new(&UNKNOWN_DEVICE, detail),
            Refused::UnknownCommand(_) => Self::new(&UNKNOWN_COMMAND, detail),
            Refused::NotSupported { .. } => Self::new(&NOT_SUPPORTED, detail).with("field", "command"),
            Refused::StateUnknown(_) => Self::new(&STATE_UNKNOWN, detail),
            Refused::NotQueued(_) => Self::new(&NOT_QUEUED, detail),
            Refused::StoreBroken => Self::new(&STORE_BROKEN, detail),
            Refused::Stopping => Self::new(&STOPPING, detail),
            Refused::NotErased(_) => Self::new(&NOT_ERASED, detail),
            Refused::KeyReused(_) => Self::new(&KEY_REUSED, detail).with("field", "Idempotency-Key"),
            Refused::UnknownLine { known, .. } => {
                Self::wrong_field("line", detail, known.split(", ").collect::<Vec<_>>().into())
            }
            Refused::BadAddress(bad) => Self::wrong_field("address", detail, bad.want.into()),
            Refused::BadName { max } => Self::wrong_field("name", detail, json!({ "max": max })),
            Refused::AddressTaken(by) => Self::new(&ADDRESS_TAKEN, detail).with("device", by.as_str()),
            Refused::NameTaken(by) => Self::new(&NAME_TAKEN, detail).with("device", by.as_str()),
            Refused::FewerCapabilities { missing, .. } => {
                Self::new(&FEWER_CAPABILITIES, detail).with("missing", missing)
            }
            Refused::BadOption { option, allowed, .. } => {
                Self::wrong_field(&format!("options.{option}"), detail, allowed.into())
            }
            Refused::WhichLine { known } if known.is_empty() => Self::new(&NO_JOINING, detail),
            Refused::WhichLine { known } => {
                Self::wrong_field("line", detail, known.split(", ").collect::<Vec<_>>().into())
            }
            Refused::NoJoining(_) => Self::new(&NO_JOINING, detail).with("field", "line"),
            Refused::NoJoinByAddress(_) => Self::new(&NO_JOINING, detail).with("field", "code"),
            Refused::InConfiguration(_) => Self::new(&IN_CONFIGURATION, detail),
            Refused::UnknownGroup(_) => Self::new(&UNKNOWN_GROUP, detail),
            Refused::BadMembers { .. } => {
                Self::wrong_field("members", detail, "devices with a relay, each once".into())
            }
            Refused::TooManyGroups { limit } => {
                Self::new(&TOO_MANY_GROUPS, detail).with("limit", json!(limit))
            }
            Refused::EmptyGroup(_) => Self::new(&EMPTY_GROUP, detail),
            Refused::IsGroup(_) => Self::new(&NOT_SUPPORTED, detail),
            Refused::UnknownToken(_) => Self::new(&UNKNOWN_TOKEN, detail),
            Refused::TooManyTokens { limit } => {
                Self::new(&TOO_MANY_TOKENS, detail).with("limit", json!(limit))
            }
            Refused::TokenRetires(_) => Self::new(&TOKEN_RETIRES, detail),
            Refused::OutOfReach => Self::short_of(Scope::Manage, detail),
            Refused::LineGone(_) => Self::new(&LINE_GONE, detail),
            Refused::QueueFull { limit, .. } => {
                let mut problem = Self::new(&QUEUE_FULL, detail).with("limit", json!(limit));
                problem.retry_after_s = Some(1);
                problem
            }
        }
    }
}

/// The page behind a problem's `type`.
#[must_use]
pub fn page(name: &str) -> Option<Response> {
    let kind = KINDS.iter().find(|kind| kind.name == name)?;
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n<h1>{title}</h1>\n\
         <p>HTTP status {status}, problem <code>{name}</code>.</p>\n<p>{about}</p>\n",
        title = kind.title,
        status = kind.status,
        about = kind.about,
    );
    Some(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_stand_in_the_order_of_the_rfc() {
        let shown = Problem::wrong_field("ttl_s", "it is 0", json!({"min": 1})).body();
        assert_eq!(
            shown,
            r#"{"type":"/problems/wrong-field","title":"A field is wrong","status":422,"detail":"it is 0","field":"ttl_s","allowed":{"min":1}}"#
        );
    }

    #[test]
    fn every_name_is_told_once_and_has_a_status_of_its_own_class() {
        for (index, kind) in KINDS.iter().enumerate() {
            assert!(KINDS[index + 1..].iter().all(|other| other.name != kind.name), "{}", kind.name);
            assert!((400..600).contains(&kind.status), "{}", kind.name);
            assert!(page(kind.name).is_some());
        }
        assert!(page("no-such-thing").is_none());
    }
}
