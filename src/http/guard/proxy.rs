//! Who asks through a proxy of ours, by what it writes into `X-Forwarded-For`. Anybody can write that header, so it is
//! read only where a listed proxy asks, and only up to the first address that no listed proxy has. Pure.
//! Spec: `protocol-spec/http.md`, TLS and proxies.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName};

use super::super::reply::texts;

/// What each proxy appends the address to that asked it.
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address behind `address` where that is a listed proxy; itself where not, or where the proxy does not say.
pub(super) fn behind(proxies: &[IpAddr], address: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut asks = address;
    let named = texts(headers, FOR).flat_map(|line| line.split(',')).map(str::trim);
    // The last is the nearest.
    for name in named.collect::<Vec<_>>().into_iter().rev() {
        if !proxies.contains(&asks) {
            break;
        }
        let Some(before) = parse(name) else { break };
        asks = before;
    }
    asks
}

/// An address as proxies write it: bare, or with a port, which of IPv6 takes brackets.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.parse::<IpAddr>().ok();
    let address = bare.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(proxies: &[&str], address: &str, lines: &[&str]) -> String {
        let ip = |text: &&str| text.parse::<IpAddr>().expect("an address");
        let proxies: Vec<IpAddr> = proxies.iter().map(ip).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FOR, line.parse().expect("a header"));
        }
        behind(&proxies, ip(&address), &headers).to_string()
    }

    #[test]
    fn a_listed_proxy_is_believed_and_nobody_else() {
        assert_eq!(asks(&["10.0.0.2"], "10.0.0.2", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(asks(&["10.0.0.2"], "10.0.0.3", &["192.0.2.7"]), "10.0.0.3");
        assert_eq!(asks(&[], "10.0.0.2", &["192.0.2.7"]), "10.0.0.2");
        assert_eq!(asks(&["10.0.0.2"], "10.0.0.2", &[]), "10.0.0.2");
    }

    #[test]
    fn what_the_asker_writes_itself_stands_before_what_the_proxy_saw_and_is_not_read() {
        assert_eq!(asks(&["10.0.0.2"], "10.0.0.2", &["127.0.0.1, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(asks(&["10.0.0.2"], "10.0.0.2", &["127.0.0.1", "192.0.2.7"]), "192.0.2.7");
        assert_eq!(asks(&["10.0.0.2"], "10.0.0.2", &["10.0.0.2, 192.0.2.7"]), "192.0.2.7");
    }

    #[test]
    fn a_chain_of_listed_proxies_is_followed() {
        let both = ["10.0.0.2", "::1"];
        assert_eq!(asks(&both, "::1", &["6.6.6.6, 192.0.2.7, 10.0.0.2"]), "192.0.2.7");
        assert_eq!(asks(&both, "::1", &["10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn addresses_with_ports_are_read_and_what_is_none_ends_the_chain() {
        assert_eq!(asks(&["::1"], "::1", &["192.0.2.7:4711"]), "192.0.2.7");
        assert_eq!(asks(&["::1"], "::1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(asks(&["::1"], "::1", &["::ffff:192.0.2.7"]), "192.0.2.7");
        assert_eq!(asks(&["::1"], "::1", &["192.0.2.7, unknown"]), "::1");
    }
}
