//! From where a browser's request comes: our own page, a page that the configuration lets in, or a stranger's. Pure.

use super::host::Authority;

/// The origin of a page that may use the API from elsewhere, exactly as a browser sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is no origin that could be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    /// Everybody.
    #[error("`*` would let every page of the web in; list each origin")]
    Everybody,
    /// `null`.
    #[error("`null` is the origin of any page in a sandbox; give the page one of its own")]
    Null,
    /// Not of the form.
    #[error("an origin is a scheme, a host and perhaps a port, such as \"https://panel.example.org\"")]
    Form,
    /// Something stands behind the host and port.
    #[error("an origin ends behind host and port: no path, no slash")]
    Path,
    /// The port that the scheme means anyway.
    #[error("browsers leave this port out; leave it out here")]
    DefaultPort,
}

impl Origin {
    /// Reads one from the configuration.
    ///
    /// # Errors
    /// [`BadOrigin`].
    pub fn parse(text: &str) -> Result<Self, BadOrigin> {
        match text {
            "*" => return Err(BadOrigin::Everybody),
            "null" => return Err(BadOrigin::Null),
            _ => {}
        }
        let (scheme, rest) = text.split_once("://").ok_or(BadOrigin::Form)?;
        if rest.contains(['/', '?', '#']) {
            return Err(BadOrigin::Path);
        }
        let first = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let others =
            scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        let authority = Authority::parse(rest).filter(|_| first && others).ok_or(BadOrigin::Form)?;
        if authority.port.is_some() && authority.port == default_port(&scheme.to_ascii_lowercase()) {
            return Err(BadOrigin::DefaultPort);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// Whose page a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Ours, or no browser's.
    Own,
    /// A page that the configuration lets in.
    Listed,
    /// Anybody's.
    Stranger,
}

/// What a request says of where it comes from and goes to.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`: the browser's own word for it.
    pub site: Option<&'a str>,
    /// To whom the request is addressed.
    pub to: Option<&'a Authority>,
    /// It came over TLS.
    pub secure: bool,
}

impl Way<'_> {
    /// Whose page it is.
    #[must_use]
    pub fn judge(self, listed: &[Origin]) -> From {
        if let Some(origin) = self.origin {
            if listed.iter().any(|listed| listed.0.eq_ignore_ascii_case(origin)) {
                return From::Listed;
            }
            if !self.is_own(origin) {
                return From::Stranger;
            }
        }
        match self.site {
            Some("cross-site") => From::Stranger,
            _ => From::Own,
        }
    }

    /// A proxy in front may have taken the TLS off, so on a plain connection either scheme is ours.
    fn is_own(self, origin: &str) -> bool {
        let Some((scheme, rest)) = origin.split_once("://") else { return false };
        if !(scheme == "https" || (scheme == "http" && !self.secure)) {
            return false;
        }
        let (Some(from), Some(to)) = (Authority::parse(rest), self.to) else { return false };
        let port = |authority: &Authority| authority.port.or(default_port(scheme));
        from.host == to.host && port(&from) == port(to)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(origin: Option<&str>, site: Option<&str>, to: &str, secure: bool) -> From {
        let to = Authority::parse(to);
        let listed = ["https://panel.example.org", "capacitor://localhost"];
        let listed = listed.map(|text| Origin::parse(text).expect("an origin"));
        Way { origin, site, to: to.as_ref(), secure }.judge(&listed)
    }

    #[test]
    fn a_request_without_a_word_of_a_browser_is_our_own() {
        assert_eq!(from(None, None, "box:8480", false), From::Own);
        for site in ["same-origin", "none"] {
            assert_eq!(from(None, Some(site), "box:8480", false), From::Own);
        }
    }

    #[test]
    fn an_origin_is_ours_when_scheme_host_and_port_are() {
        for (origin, to, secure, whose) in [
            ("http://box:8480", "box:8480", false, From::Own),
            ("http://BOX:8480", "box:8480", false, From::Own),
            ("https://box:8480", "box:8480", true, From::Own),
            // A proxy took the TLS off and passed Host on.
            ("https://plugs.example.org", "plugs.example.org", false, From::Own),
            ("https://plugs.example.org", "plugs.example.org:443", false, From::Own),
            ("http://box:8480", "box:8480", true, From::Stranger),
            ("http://box:5000", "box:8480", false, From::Stranger),
            ("http://other:8480", "box:8480", false, From::Stranger),
            ("ftp://box:8480", "box:8480", false, From::Stranger),
            ("null", "box:8480", false, From::Stranger),
            ("", "box:8480", false, From::Stranger),
            ("box:8480", "box:8480", false, From::Stranger),
        ] {
            assert_eq!(from(Some(origin), None, to, secure), whose, "{origin} to {to}");
        }
    }

    #[test]
    fn a_listed_origin_is_let_in_although_it_is_another_site_and_only_exactly() {
        let to = "box:8480";
        assert_eq!(from(Some("https://panel.example.org"), Some("cross-site"), to, false), From::Listed);
        assert_eq!(from(Some("capacitor://localhost"), Some("cross-site"), to, false), From::Listed);
        for origin in [
            "http://panel.example.org",
            "https://panel.example.org:444",
            "https://panel.example.org.evil.example",
            "https://evil.panel.example.org",
            "https://panel.example.org/",
        ] {
            assert_eq!(from(Some(origin), None, to, false), From::Stranger, "{origin}");
        }
    }

    #[test]
    fn the_browsers_word_counts_when_the_origin_is_left_out() {
        assert_eq!(from(None, Some("cross-site"), "box", false), From::Stranger);
        assert_eq!(from(Some("http://box"), Some("cross-site"), "box", false), From::Stranger);
    }

    #[test]
    fn only_exact_origins_can_be_listed() {
        for (text, why) in [
            ("*", BadOrigin::Everybody),
            ("null", BadOrigin::Null),
            ("panel.example.org", BadOrigin::Form),
            ("https://", BadOrigin::Form),
            ("https://*.example.org", BadOrigin::Form),
            ("https://user@example.org", BadOrigin::Form),
            ("https://panel.example.org/", BadOrigin::Path),
            ("https://panel.example.org/x", BadOrigin::Path),
            ("https://panel.example.org:443", BadOrigin::DefaultPort),
            ("HTTP://panel.example.org:80", BadOrigin::DefaultPort),
        ] {
            assert_eq!(Origin::parse(text), Err(why), "{text}");
        }
        assert!(Origin::parse("https://[::1]:8443").is_ok());
    }
}
