//! To whom a request is addressed, and whether that is us. Pure.
//!
//! A page of a stranger can make a name of its own point to this machine (DNS rebinding); then its scripts count as
//! ours. The name gives it away: it stands in `Host`. A literal address cannot be bent that way.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name in DNS (RFC 1035 §2.3.4).
const NAME_MAX: usize = 253;

/// A host: an address, or a name in small letters without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A literal address; never an IPv4 address dressed as IPv6.
    Ip(IpAddr),
    /// A name.
    Name(String),
}

impl Host {
    /// A host as it stands in `Host`, or in a URL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Ip(IpAddr::V6(address).to_canonical()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Ip(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let named = !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(good);
        named.then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

/// A host and perhaps a port: `Host`, or the authority of a URL without a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port, when it is written.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
            None => None,
        };
        Some(Self { host: Host::parse(host)?, port })
    }
}

/// The hosts that are us.
#[derive(Clone, Debug)]
pub struct Hosts {
    names: BTreeSet<Host>,
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new(None, &[])
    }
}

impl Hosts {
    /// Of a machine called `hostname`, with the `names` of the configuration.
    #[must_use]
    pub fn new(hostname: Option<&str>, names: &[Host]) -> Self {
        let mut all: BTreeSet<Host> = names.iter().cloned().collect();
        all.insert(Host::Name("localhost".to_owned()));
        if let Some(Host::Name(whole)) = hostname.and_then(Host::parse) {
            let short = whole.split('.').next().unwrap_or_default().to_owned();
            // The name that mDNS gives it.
            all.insert(Host::Name(format!("{short}.local")));
            all.insert(Host::Name(short));
            all.insert(Host::Name(whole));
        }
        Self { names: all }
    }

    /// Every name, and the addresses that the configuration names.
    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.names.iter()
    }

    /// Whether a request that came in at the address `local` may be addressed to `host`. Ports do not matter: a
    /// tunnel has its own.
    #[must_use]
    pub fn admit(&self, host: &Host, local: IpAddr) -> bool {
        match host {
            // 0.0.0.0 reaches loopback too, and no person writes it.
            Host::Ip(address) if address.is_unspecified() => false,
            Host::Ip(address) if address.is_loopback() || *address == local.to_canonical() => true,
            host => self.names.contains(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts::new(Some("Box.lan"), &[Host::Name("plugs.example.org".to_owned())])
    }

    fn admits(authority: &str) -> bool {
        let local = "192.168.1.5".parse().expect("an address");
        Authority::parse(authority).is_some_and(|authority| hosts().admit(&authority.host, local))
    }

    #[test]
    fn our_names_and_addresses_are_us_with_any_port_and_in_any_case() {
        for host in [
            "localhost",
            "LOCALHOST.:8480",
            "127.0.0.1:8480",
            "127.8.9.1",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
            "192.168.1.5",
            "[::ffff:192.168.1.5]:1",
            "box",
            "box.local:8480",
            "box.lan",
            "plugs.example.org:443",
        ] {
            assert!(admits(host), "{host}");
        }
    }

    #[test]
    fn other_names_and_addresses_are_not() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0:8480",
            "[::]",
            "0",
            "2130706433",
            "0x7f.1",
            "127.1",
            "192.168.1.6",
            "example.org",
            "lan",
            "evil.plugs.example.org",
        ] {
            assert!(!admits(host), "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_not_read_as_one() {
        for text in [
            "",
            ":80",
            "a b",
            "user@localhost",
            "localhost:",
            "localhost:x",
            "localhost:99999",
            "::1",
            "[::1",
            "[localhost]",
            "localhost/",
            "local\thost",
            "localhost:80:80",
            "ö.example",
            ".",
        ] {
            let read = Authority::parse(text);
            assert!(read.is_none(), "{text:?}: {read:?}");
        }
        assert!(Authority::parse(&"a".repeat(254)).is_none());
    }

    #[test]
    fn an_address_of_all_interfaces_is_no_host_even_when_it_is_bound() {
        let any = "0.0.0.0".parse().expect("an address");
        assert!(!hosts().admit(&Host::Ip(any), any));
    }
}
