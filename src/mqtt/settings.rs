//! What can be set about MQTT, and how a broker's address is written. Pure.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The port of MQTT without TLS (IANA: mqtt).
const PORT: u16 = 1883;
/// The port of MQTT over TLS (IANA: secure-mqtt).
const TLS_PORT: u16 = 8883;

/// Settings of the edge.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which broker.
    pub broker: BrokerChoice,
    /// What stands before every topic; `{gateway}` becomes the gateway's id. Checked by `topics::check_base`.
    pub base: String,
    /// Home Assistant's discovery prefix.
    pub discovery_prefix: String,
    /// Clear every retained topic at the end; for a demonstration that leaves no trace.
    pub clear_at_end: bool,
}

impl Settings {
    /// Default topics at a broker.
    #[must_use]
    pub fn new(broker: BrokerChoice) -> Self {
        Self {
            broker,
            base: "plugline/{gateway}".into(),
            discovery_prefix: "homeassistant".into(),
            clear_at_end: false,
        }
    }
}

/// Which broker.
#[derive(Clone, Debug)]
pub enum BrokerChoice {
    /// The one in the gateway.
    Embedded {
        /// Where it listens; port 0 takes a free one.
        listen: SocketAddr,
        /// Who may come; with nobody listed, everybody, on loopback only.
        users: Vec<Login>,
    },
    /// One of one's own.
    External(Address),
}

/// A name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password; empty when none was given.
    pub password: Secret,
}

/// A text that never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How a connection is secured. Names of files, not what they hold: that is read at every connect, so that renewed
/// certificates need no restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM with the CA, or the CAs, that the broker's certificate must come from; without one, those of the system.
    pub ca_file: Option<PathBuf>,
    /// Who we are, for a broker that wants certificates.
    pub client: Option<ClientFiles>,
}

/// A client certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// PEM with our certificate, then those between it and the CA.
    pub cert: PathBuf,
    /// PEM with its key, not encrypted.
    pub key: PathBuf,
}

/// Where a broker is, and who we are to it. Written `mqtt://[user[:password]@]host[:port]`, or `mqtts://…` for TLS;
/// shown without the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or number, IPv6 without brackets.
    pub host: String,
    /// 1883, with TLS 8883, unless said otherwise.
    pub port: u16,
    /// Who we are.
    pub login: Option<Login>,
    /// For `mqtts://`.
    pub tls: Option<Tls>,
}

impl Address {
    /// As clients write it, without the login.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        format!("{scheme}://{self}")
    }

    /// Host as it stands in front of a port: IPv6 in brackets.
    #[must_use]
    pub fn bracketed_host(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bracketed_host(), self.port)
    }
}

/// A broker's address that cannot be used. Never shows the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "broker address: {0}; write `mqtt://host`, `mqtt://host:1883`, `mqtt://user:password@host` or `mqtts://host` for TLS"
)]
pub struct BadAddress(String);

fn bad<T>(why: impl Into<String>) -> Result<T, BadAddress> {
    Err(BadAddress(why.into()))
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return bad("`mqtt://` is missing in front");
        };
        let (tls, usual_port) = match scheme {
            "mqtt" => (None, PORT),
            "mqtts" => (Some(Tls::default()), TLS_PORT),
            other => return bad(format!("`{other}://` is not known")),
        };
        // The last `@` divides: a password may hold one.
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(parse_login(login)?), place),
            None => (None, rest),
        };
        let (host, port) = parse_place(place.strip_suffix('/').unwrap_or(place))?;
        Ok(Self { host, port: port.unwrap_or(usual_port), login, tls })
    }
}

fn parse_place(place: &str) -> Result<(String, Option<u16>), BadAddress> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, port.strip_prefix(':').or(Some(port))),
            None => return bad("the `]` of the IPv6 address is missing"),
        },
        None => match place.split_once(':') {
            Some((_, port)) if port.contains(':') => return bad("an IPv6 address stands in `[…]`"),
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
        return bad(format!("host `{host}`: want a name or an address, without a path"));
    }
    let port = match port {
        None => None,
        Some(text) => match text.parse() {
            Ok(port) if port > 0 => Some(port),
            _ => return bad(format!("port `{text}`: want 1 … 65535")),
        },
    };
    Ok((host.to_owned(), port))
}

fn parse_login(text: &str) -> Result<Login, BadAddress> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let user = percent_decoded(user).filter(|user| !user.is_empty());
    let password = percent_decoded(password);
    match (user, password) {
        (Some(user), Some(password)) => Ok(Login { user, password: Secret(password) }),
        (None, _) => bad("the user name before `@` is empty or its `%` escapes are not UTF-8"),
        _ => bad("a `%` in the password is not followed by two hex digits; write a plain one as `%25`"),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let hex = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with('+'))?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        text.parse().expect(text)
    }

    #[test]
    fn addresses_are_read_with_and_without_their_parts() {
        assert_eq!(parse("mqtt://box"), Address { host: "box".into(), port: 1883, login: None, tls: None });
        assert_eq!(parse("mqtts://box").url(), "mqtts://box:8883");
        assert_eq!(parse("mqtts://me:x@box:1").url(), "mqtts://box:1");
        assert_eq!(parse("mqtt://box:1884/").port, 1884);
        assert_eq!(parse("mqtt://[::1]:1884").to_string(), "[::1]:1884");
        assert_eq!(parse("mqtt://[fe80::1]").host, "fe80::1");
        let login = parse("mqtt://me:p%40ss:@x@10.0.0.1").login.expect("a login");
        assert_eq!((login.user.as_str(), login.password.0.as_str()), ("me", "p@ss:@x"));
        assert_eq!(parse("mqtt://me@box").login.expect("a login").password.0, "");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_its_password() {
        for (text, word) in [
            ("box:1883", "`mqtt://` is missing"),
            ("ssl://box", "`mqtts://host` for TLS"),
            ("http://box", "`http://` is not known"),
            ("mqtt://", "host ``"),
            ("mqtt://box/path", "without a path"),
            ("mqtt://box:0", "port `0`"),
            ("mqtt://box:99999", "port `99999`"),
            ("mqtt://::1", "IPv6"),
            ("mqtt://[::1", "`]`"),
            ("mqtt://:hush@box", "user name"),
            ("mqtt://me:hush%zz@box", "%25"),
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
            assert!(!error.contains("hush"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_does_not_show_in_logs() {
        let shown = format!("{:?}", parse("mqtt://me:hush@box"));
        assert!(shown.contains("me") && !shown.contains("hush"), "{shown}");
    }
}
