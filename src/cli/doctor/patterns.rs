//! What looks like an address, a host, a secret or a person, wherever it came from. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The shortest secret; what is shorter is a word of a sentence that speaks of secrets.
const SECRET_MIN: usize = 8;

/// Ids of devices, by what is before the address and what the address is made of.
const DEVICES: [(&str, usize); 3] = [("plugline_", 16), ("dlt645_", 12), ("insteon_", 6)];

/// Letters behind a backslash that are no part of a word.
const ESCAPES: [char; 3] = ['n', 'r', 't'];

/// What an original is; its stand-in says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Gateway,
    Device,
    Name,
    Address,
    Host,
    User,
    Mail,
    Token,
    Label,
    Topic,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Device => "device",
            Self::Name => "name",
            Self::Address => "address",
            Self::Host => "host",
            Self::User => "user",
            Self::Mail => "mail",
            Self::Token => "token",
            Self::Label => "label",
            Self::Topic => "topic",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// In characters.
    pub(super) length: usize,
    pub(super) pieces: Vec<Piece>,
}

/// A part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Kept(String),
    Hidden(Kind, String),
}

impl Match {
    fn hidden(kind: Kind, text: &[char]) -> Self {
        Self { length: text.len(), pieces: vec![Piece::Hidden(kind, text.iter().collect())] }
    }

    fn kept(text: &[char]) -> Self {
        Self { length: text.len(), pieces: vec![Piece::Kept(text.iter().collect())] }
    }

    /// What is to be hidden of it.
    pub(super) fn originals(self) -> impl Iterator<Item = (Kind, String)> {
        self.pieces.into_iter().filter_map(|piece| match piece {
            Piece::Hidden(kind, original) => Some((kind, original)),
            Piece::Kept(_) => None,
        })
    }
}

/// What stands at this place, if anything.
pub(super) fn at(text: &[char], at: usize) -> Option<Match> {
    let rest = &text[at..];
    let behind_url = at >= 3 && text[at - 3..at] == [':', '/', '/'];
    if behind_url && let Some(found) = authority(rest) {
        return Some(found);
    }
    token(rest)
        .or_else(|| label(rest))
        .or_else(|| home(&text[..at], rest))
        .or_else(|| starts_word(text, at).then(|| word(text, at)).flatten())
}

/// Whether a word may begin here.
pub(super) fn starts_word(text: &[char], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return true };
    !text[before].is_alphanumeric() || is_escape(text, before)
}

/// A line end as the log and JSON write it is no letter of the word behind it.
fn is_escape(text: &[char], at: usize) -> bool {
    at > 0 && text[at - 1] == '\\' && ESCAPES.contains(&text[at])
}

fn word(text: &[char], at: usize) -> Option<Match> {
    let rest = &text[at..];
    gateway(rest)
        .or_else(|| device(rest))
        .or_else(|| credentials(&text[..at], rest))
        .or_else(|| mail(rest))
        .or_else(|| address(&text[..at], rest))
        .or_else(|| ip(&text[..at], rest))
        .or_else(|| host_and_port(rest))
}

fn run(text: &[char], part: impl Fn(char) -> bool) -> &[char] {
    let length = text.iter().take_while(|c| part(**c)).count();
    &text[..length]
}

fn starts(text: &[char], with: &str) -> bool {
    let mut here = text.iter();
    with.chars().all(|c| here.next().is_some_and(|own| own.eq_ignore_ascii_case(&c)))
}

fn ends_word(text: &[char], length: usize) -> bool {
    text.get(length).is_none_or(|c| !c.is_alphanumeric())
}

/// `plgu_…` and the like.
fn token(rest: &[char]) -> Option<Match> {
    let prefix = starts(rest, "plg") && rest.get(3)?.is_ascii_alphabetic() && rest.get(4) == Some(&'_');
    let secret = run(rest.get(5..)?, |c| c.is_ascii_alphanumeric());
    (prefix && secret.len() >= SECRET_MIN).then(|| Match::hidden(Kind::Token, &rest[..5 + secret.len()]))
}

/// `PLG1:…`, as on a label.
fn label(rest: &[char]) -> Option<Match> {
    if !starts(rest, "PLG1:") {
        return None;
    }
    let code = run(&rest[5..], |c| c.is_ascii_alphanumeric() || c == ':' || c == '-');
    (code.len() >= SECRET_MIN).then(|| Match::hidden(Kind::Label, &rest[..5 + code.len()]))
}

/// Whose home folder it is.
fn home(before: &[char], rest: &[char]) -> Option<Match> {
    let home: Vec<char> = "/home/".chars().collect();
    let name = run(rest, |c| !c.is_whitespace() && !"/\"'`:;,)".contains(c));
    (before.ends_with(&home) && !name.is_empty()).then(|| Match::hidden(Kind::User, name))
}

fn gateway(rest: &[char]) -> Option<Match> {
    let id = run(rest.get(3..)?, |c| c.is_ascii_lowercase() || ('2'..='7').contains(&c));
    let whole = starts(rest, "gw_") && id.len() == 10 && ends_word(rest, 13);
    whole.then(|| Match::hidden(Kind::Gateway, &rest[..13]))
}

fn device(rest: &[char]) -> Option<Match> {
    let (prefix, digits) = DEVICES.into_iter().find(|(prefix, _)| starts(rest, prefix))?;
    let address = run(&rest[prefix.len()..], |c| c.is_ascii_hexdigit());
    let mut length = prefix.len() + address.len();
    if rest.get(length) == Some(&'_') {
        let channel = run(&rest[length + 1..], |c| c.is_ascii_digit());
        length += if channel.is_empty() { 0 } else { 1 + channel.len() };
    }
    (address.len() == digits && ends_word(rest, length)).then(|| Match::hidden(Kind::Device, &rest[..length]))
}

/// What stands behind `Bearer ` or `Basic `.
fn credentials(before: &[char], rest: &[char]) -> Option<Match> {
    let scheme = |name: &str| {
        let start = before.len().checked_sub(name.len());
        start.is_some_and(|start| starts(&before[start..], name))
    };
    if !scheme("bearer ") && !scheme("basic ") {
        return None;
    }
    let secret = run(rest, |c| c.is_ascii_alphanumeric() || "-._~+/=".contains(c));
    // `Basic configuration` is a sentence.
    let random = secret.iter().any(|c| !c.is_ascii_lowercase());
    (secret.len() >= SECRET_MIN && random).then(|| Match::hidden(Kind::Token, secret))
}

fn mail(rest: &[char]) -> Option<Match> {
    let local = run(rest, |c| c.is_alphanumeric() || "._%+-".contains(c));
    if local.is_empty() || rest.get(local.len()) != Some(&'@') {
        return None;
    }
    let domain = run(&rest[local.len() + 1..], |c| c.is_alphanumeric() || ".-".contains(c));
    let domain = domain.len() - domain.iter().rev().take_while(|c| **c == '.').count();
    (domain > 0).then(|| Match::hidden(Kind::Mail, &rest[..local.len() + 1 + domain]))
}

/// Login and host of a URL; the port stays, and this machine's own name for itself.
fn authority(rest: &[char]) -> Option<Match> {
    let whole = run(rest, |c| !c.is_whitespace() && !"/\"'`\\?#<>(){},;|".contains(c));
    let (login, host_at) = match whole.iter().rposition(|c| *c == '@') {
        Some(sign) => (Some(&whole[..sign]), sign + 1),
        None => (None, 0),
    };
    let place = &whole[host_at..];
    let bracket = place.first() == Some(&'[');
    let host = match place.iter().position(|c| *c == ']').filter(|_| bracket) {
        Some(end) => &place[1..end],
        None => run(place, |c| c.is_alphanumeric() || ".-_%".contains(c)),
    };
    let host = &host[..host.len() - host.iter().rev().take_while(|c| **c == '.').count()];
    if host.is_empty() && login.is_none() {
        return None;
    }
    let mut pieces = Vec::new();
    if let Some(login) = login {
        let login: String = login.iter().collect();
        pieces.push(if login == "…" { Piece::Kept(login) } else { Piece::Hidden(Kind::User, login) });
        pieces.push(Piece::Kept("@".to_owned()));
    }
    let name: String = host.iter().collect();
    let shown =
        if host.is_empty() || is_here(&name) { Piece::Kept(name) } else { Piece::Hidden(Kind::Host, name) };
    if bracket {
        pieces.extend([Piece::Kept("[".to_owned()), shown, Piece::Kept("]".to_owned())]);
    } else {
        pieces.push(shown);
    }
    Some(Match { length: host_at + host.len() + if bracket { 2 } else { 0 }, pieces })
}

/// This machine, or every address of it.
pub(super) fn is_here(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

fn ip(before: &[char], rest: &[char]) -> Option<Match> {
    let shown = |length: usize| {
        let text: String = rest[..length].iter().collect();
        let host = if is_here(&text) { Match::kept } else { |text: &[char]| Match::hidden(Kind::Host, text) };
        Some(host(&rest[..length]))
    };
    let trimmed = |text: &[char], ends: &[char]| {
        text.len() - text.iter().rev().take_while(|c| ends.contains(c)).count()
    };
    let digits = run(rest, |c| c.is_ascii_digit() || c == '.');
    let v4 = trimmed(digits, &['.']);
    if before.last() != Some(&'.') && ends_word(rest, v4) && parses::<Ipv4Addr>(&rest[..v4]) {
        return shown(v4);
    }
    let six = run(rest, |c| c.is_ascii_hexdigit() || c == ':' || c == '.');
    let v6 = trimmed(six, &['.', ':']).max(six.len().min(2));
    // `a::b` is also a path in the program.
    let digit = rest[..v6].iter().any(char::is_ascii_digit) || v6 == 2;
    let whole =
        digit && before.last() != Some(&':') && ends_word(rest, v6) && parses::<Ipv6Addr>(&rest[..v6]);
    if whole { shown(v6) } else { None }
}

/// `attic:3333`. The port stays.
fn host_and_port(rest: &[char]) -> Option<Match> {
    let host = run(rest, |c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    let port = run(rest.get(host.len() + 1..)?, |c| c.is_ascii_digit());
    let end = host.len() + 1 + port.len();
    // A second colon: the time of day.
    let whole = rest[host.len()] == ':' && ends_word(rest, end) && rest.get(end) != Some(&':');
    let named = host.len() > 1 && host.iter().any(char::is_ascii_alphabetic);
    let place = whole && named && (2..=5).contains(&port.len());
    let name: String = host.iter().collect();
    place.then(|| if is_here(&name) { Match::kept(host) } else { Match::hidden(Kind::Host, host) })
}

fn parses<T: std::str::FromStr>(text: &[char]) -> bool {
    text.iter().collect::<String>().parse::<T>().is_ok()
}

/// Addresses of devices and adapters that nobody told of: pairs of hex digits with a sign between them, or an EUI-64.
fn address(before: &[char], rest: &[char]) -> Option<Match> {
    let digits = run(rest, |c| c.is_ascii_hexdigit());
    // A number of sixteen digits is a time.
    let eui = digits.len() == 16 && (digits[0] == '0' || digits.iter().any(char::is_ascii_alphabetic));
    if eui && ends_word(rest, 16) {
        return Some(Match::hidden(Kind::Address, digits));
    }
    let sign = *rest.get(2).filter(|c| ".:-".contains(**c))?;
    let pair = |at: usize| {
        rest.get(at).is_some_and(char::is_ascii_hexdigit)
            && rest.get(at + 1).is_some_and(char::is_ascii_hexdigit)
    };
    let pairs = 1 + (1..).take_while(|n| rest.get(n * 3 - 1) == Some(&sign) && pair(n * 3)).count();
    let length = pairs * 3 - 1;
    // A part of something longer is none: of a fingerprint, of an address of the Internet.
    let hex = |c: Option<&char>| c.is_some_and(char::is_ascii_hexdigit);
    let goes_on = rest.get(length) == Some(&sign) && hex(rest.get(length + 1));
    let began = before.last() == Some(&sign) && hex(before.iter().nth_back(1));
    let known = matches!((sign, pairs), ('.', 3) | (_, 6 | 8));
    (pair(0) && known && ends_word(rest, length) && !goes_on && !began)
        .then(|| Match::hidden(Kind::Address, &rest[..length]))
}
