//! How much one may ask for: looks and commands by the second, answers held open, wrong tokens. The counting is in
//! the files below this one; here are the clock, the locks and the headers.
//! Spec: `protocol-spec/http.md`, Limits; header fields by draft-ietf-httpapi-ratelimit-headers-10.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

pub mod figures;
pub mod hot;
pub mod kind;
pub mod places;
pub mod rate;
pub mod strikes;

use super::ask::wants_stream;
use super::guard::Peer;
use super::pen::Pad;
use super::problem::{self, Problem};
use super::reply::texts;
use crate::device::DeviceId;
use figures::Figures;
use hot::{Hot, Verdict};
use kind::{Kind, holds, kind};
use places::{Place, Places};
use rate::{Left, Quota, Table};
use strikes::Strikes;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// Who has too many answers open closes one, or one ends within its life.
const STREAM_RETRY: Duration = Duration::from_secs(5);

/// An address as it is counted: of IPv6 the network, whose addresses are all one subscriber's (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(IpAddr);

impl Address {
    /// The address that stands for this one.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            address => Self(address),
        }
    }
}

/// Who is counted. Whoever finds out puts it among the extensions of the request; else it is the address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// Whoever is at this address.
    Address(Address),
    /// Whoever has the token of this id.
    Token(Arc<str>),
}

/// Counts of a server.
pub(super) struct Limits {
    figures: Figures,
    start: Instant,
    counts: Mutex<Counts>,
    by_token: Places<Asker>,
    by_address: Places<Address>,
}

struct Counts {
    reads: Option<Table<Asker>>,
    commands: Option<Table<Asker>>,
    device: Option<Table<DeviceId>>,
    strikes: Strikes,
    hot: Hot,
}

/// What a request counted.
#[derive(Default)]
pub(super) struct Counted {
    limits: Vec<(&'static str, Quota, Left)>,
    place: Option<HeldPlace>,
}

type HeldPlace = (Option<Place<Asker>>, Place<Address>);

impl Limits {
    pub(super) fn new(figures: Figures) -> Self {
        let counts = Counts {
            reads: figures.reads.map(Table::new),
            commands: figures.commands.map(Table::new),
            device: figures.device.map(Table::new),
            strikes: Strikes::default(),
            hot: Hot::default(),
        };
        Self {
            figures,
            start: Instant::now(),
            counts: Mutex::new(counts),
            by_token: Places::default(),
            by_address: Places::default(),
        }
    }

    fn counts(&self) -> (MutexGuard<'_, Counts>, Duration) {
        (self.counts.lock().unwrap_or_else(PoisonError::into_inner), self.start.elapsed())
    }

    /// An address that showed too many wrong tokens shows another one: what it is told.
    pub(super) fn kept_out(&self, request: &Parts, peer: Peer) -> Option<Response> {
        if !shows_token(request) {
            return None;
        }
        let (mut counts, now) = self.counts();
        let left = counts.strikes.out(Address::of(peer.address), now)?;
        let detail = "this address showed too many tokens that are none";
        Some(Problem::new(&problem::RATE_LIMITED, detail).after(left).into_response())
    }

    /// A token that was shown was wrong.
    pub(super) fn wrong_token(&self, peer: Peer) {
        let (mut counts, now) = self.counts();
        counts.strikes.wrong(Address::of(peer.address), now);
    }

    /// Whether one who asks for this position may be answered, and when; only for those who do not wait.
    pub(super) fn hot(&self, key: u64) -> Verdict {
        let (mut counts, now) = self.counts();
        counts.hot.ask(key, now)
    }

    /// There was nothing at this position.
    pub(super) fn nothing_for(&self, key: u64) {
        if self.figures.reads.is_some() {
            let (mut counts, now) = self.counts();
            counts.hot.answered_empty(key, now);
        }
    }

    /// Counts a good command for a device.
    ///
    /// # Errors
    /// [`problem::RATE_LIMITED`] when there were too many, whoever sent them.
    pub(super) fn command(&self, device: &DeviceId) -> Result<(), Problem> {
        let (mut counts, now) = self.counts();
        Counted::default().take("device", &mut counts.device, device.clone(), now)
    }

    /// Counts a request; for whom it was counted stands beside it then.
    ///
    /// # Errors
    /// The answer to one that comes too often, or wants a place where there is none.
    pub(super) fn enter(&self, request: &mut Request) -> Result<Counted, Box<Response>> {
        let mut counted = Counted::default();
        let Some(peer) = request.extensions().get::<Peer>().copied() else { return Ok(counted) };
        let address = Address::of(peer.address);
        let asker = request.extensions().get::<Asker>().cloned().unwrap_or(Asker::Address(address));
        if let Err(problem) = self.count(request, (&asker, address), &mut counted) {
            let mut response = problem.into_response();
            counted.leave(&mut response);
            return Err(Box::new(response));
        }
        request.extensions_mut().insert(asker);
        Ok(counted)
    }

    fn count(
        &self,
        request: &Request,
        (asker, address): (&Asker, Address),
        counted: &mut Counted,
    ) -> Result<(), Problem> {
        let (mut guard, now) = self.counts();
        let counts = &mut *guard;
        match kind(request.method().as_str(), request.uri().path()) {
            Kind::Free => return Ok(()),
            Kind::Read => counted.take("reads", &mut counts.reads, asker.clone(), now)?,
            Kind::Change => counted.take("commands", &mut counts.commands, asker.clone(), now)?,
        }
        drop(guard);
        if is_held(request) {
            counted.place = Some(self.place(asker, address)?);
        }
        Ok(())
    }

    fn place(&self, asker: &Asker, address: Address) -> Result<HeldPlace, Problem> {
        let full = |whose: &str, limit: usize| {
            let detail = format!("{limit} answers are held open for this {whose} already; close one first");
            Problem::new(&problem::RATE_LIMITED, detail).after(STREAM_RETRY)
        };
        let by_token = match asker {
            Asker::Address(_) => None,
            Asker::Token(_) => {
                let limit = self.figures.streams_per_token;
                Some(self.by_token.take(asker.clone(), limit).ok_or_else(|| full("token", limit))?)
            }
        };
        let limit = self.figures.streams_per_address;
        let by_address = self.by_address.take(address, limit).ok_or_else(|| full("address", limit))?;
        Ok((by_token, by_address))
    }
}

impl Counted {
    fn take<K: Eq + Hash>(
        &mut self,
        name: &'static str,
        table: &mut Option<Table<K>>,
        key: K,
        now: Duration,
    ) -> Result<(), Problem> {
        let Some(table) = table else { return Ok(()) };
        let quota = table.quota();
        let taken = table.take(key, now);
        let nothing = Left { remaining: 0, full_in: quota.window() };
        self.limits.push((name, quota, taken.unwrap_or(nothing)));
        taken.map(|_| ()).map_err(|wait| {
            let detail = format!("`{name}`: {} at once, then one each {:?}", quota.burst, quota.each);
            Problem::new(&problem::RATE_LIMITED, detail).with("limit", name).after(wait)
        })
    }

    /// Tells what is left; a body that is held open keeps the place.
    pub(super) fn leave(self, response: &mut Response) {
        self.tell(response.headers_mut());
        if let (Some(place), Some(pad)) = (self.place, response.extensions().get::<Pad>()) {
            pad.keep(Box::new(place));
        }
    }

    fn tell(&self, headers: &mut HeaderMap) {
        if self.limits.is_empty() {
            return;
        }
        let list = |one: &dyn Fn(&(&'static str, Quota, Left)) -> String| {
            let words: Vec<String> = self.limits.iter().map(one).collect();
            HeaderValue::from_str(&words.join(", ")).ok()
        };
        let policy =
            list(&|(name, quota, _)| format!("\"{name}\";q={};w={}", quota.burst, seconds(quota.window())));
        let limit =
            list(&|(name, _, left)| format!("\"{name}\";r={};t={}", left.remaining, seconds(left.full_in)));
        for (name, value) in [(POLICY, policy), (LIMIT, limit)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
}

/// Whole seconds, never too few.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// One reader's question: the same key, the same question.
pub(super) fn question(asker: &Asker, after: u64, query: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (asker, after, query).hash(&mut hasher);
    hasher.finish()
}

fn is_held(request: &Request) -> bool {
    let (uri, headers) = (request.uri(), request.headers());
    let stream = wants_stream(texts(headers, header::ACCEPT));
    let asked = (request.method().as_str(), uri.path(), uri.query().unwrap_or_default());
    holds(asked, stream, texts(headers, PREFER))
}

/// A request shows something that could be guessed.
pub(super) fn shows_token(request: &Parts) -> bool {
    let headers = &request.headers;
    headers.contains_key(header::AUTHORIZATION)
        || texts(headers, header::COOKIE).any(|cookies| cookies.contains("plugline_session="))
        || request.uri.query().is_some_and(|query| query.contains("ticket="))
        || (request.method == Method::POST && request.uri.path() == "/v1/session")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_and_those_of_ipv4_are_not() {
        let of = |text: &str| Address::of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.168.1.5"), of("192.168.1.5"));
        assert_ne!(of("192.168.1.5"), of("192.168.1.6"));
    }

    #[test]
    fn what_could_be_guessed_is_seen_wherever_it_stands() {
        let shows = |method: &str, uri: &str, headers: &[(&str, &str)]| {
            let mut request = axum::http::Request::builder().method(method).uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            shows_token(&request.body(()).expect("a request").into_parts().0)
        };
        assert!(shows("GET", "/v1/devices", &[("authorization", "Bearer x")]));
        assert!(shows("GET", "/v1/devices", &[("cookie", "a=b; plugline_session=x")]));
        assert!(shows("GET", "/v1/events?ticket=x", &[]));
        assert!(shows("POST", "/v1/session", &[]));
        assert!(!shows("GET", "/v1/devices", &[("cookie", "theme=dark")]));
    }

    #[test]
    fn seconds_are_never_too_few() {
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(2)), 2);
    }
}
