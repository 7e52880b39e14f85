//! The keys of `[http]` about whom the API answers to.

use std::net::IpAddr;
use std::path::PathBuf;

use toml::Spanned;

use super::tls::pem;
use super::{CONNECTIONS_MAX, ConfigError, Context, file};
use crate::http::guard::host::{Authority, Host};
use crate::http::guard::origin::Origin;
use crate::http::limits::figures::Figures;
use crate::mqtt::tls::{Client, certificates, key as pem_key};

/// Whose certificate the API shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HttpTls {
    /// None: it is not over TLS.
    #[default]
    Off,
    /// One that it makes for itself.
    SelfSigned,
    /// That of these files.
    Files {
        /// The certificate, and those between it and its CA; PEM.
        cert: PathBuf,
        /// Its private key; PEM.
        key: PathBuf,
    },
}

/// What the configuration says of the HTTP API beyond where it listens.
#[derive(Clone, Debug, Default)]
pub struct HttpKeys {
    /// Names by which the gateway is reached, beside its host name and addresses.
    pub names: Vec<Host>,
    /// Origins whose pages may use the API.
    pub cors_origins: Vec<Origin>,
    /// Addresses of proxies that are believed when they say who asks.
    pub proxies: Vec<IpAddr>,
    /// Whether it is over TLS.
    pub tls: HttpTls,
    /// How much one may ask for.
    pub limits: Figures,
}

/// More a second than a gateway answers.
const PER_S_MAX: u32 = 100_000;

/// Reads them.
pub(super) fn keys(context: &Context<'_>, http: &file::Http) -> Result<HttpKeys, ConfigError> {
    Ok(HttpKeys {
        names: http.names.iter().map(|name| host(context, name)).collect::<Result<_, _>>()?,
        cors_origins: http.cors_origins.iter().map(|text| origin(context, text)).collect::<Result<_, _>>()?,
        proxies: http.proxies.iter().map(|text| proxy(context, text)).collect::<Result<_, _>>()?,
        tls: tls(context, http)?,
        limits: limits(context, http)?,
    })
}

fn tls(context: &Context<'_>, http: &file::Http) -> Result<HttpTls, ConfigError> {
    let files = (&http.tls_cert_file, &http.tls_key_file);
    if let Some(tls) = &http.tls {
        return match (tls.get_ref().as_str(), files) {
            ("self_signed", (None, None)) => Ok(HttpTls::SelfSigned),
            ("self_signed", _) => {
                Err(context.wrong(tls, "tls = \"self_signed\" makes its own files; leave it out"))
            }
            _ => Err(context.wrong(tls, "wanted tls = \"self_signed\", or tls_cert_file and tls_key_file")),
        };
    }
    match files {
        (None, None) => Ok(HttpTls::Off),
        (Some(cert), None) => Err(context.wrong(cert, "tls_cert_file needs tls_key_file")),
        (None, Some(key)) => Err(context.wrong(key, "tls_key_file needs tls_cert_file")),
        (Some(cert), Some(key)) => {
            let chain = pem(context, cert, certificates)?;
            if Client::new(chain, pem(context, key, pem_key)?).is_err() {
                let shown = key.get_ref().display();
                let text = format!("{shown}: this key does not belong to the certificate, or cannot be used");
                return Err(context.wrong(key, text));
            }
            Ok(HttpTls::Files { cert: cert.get_ref().clone(), key: key.get_ref().clone() })
        }
    }
}

fn limits(context: &Context<'_>, http: &file::Http) -> Result<Figures, ConfigError> {
    let mut figures = Figures::default();
    if let Some(per_s) = up_to(context, http.reads_per_s.as_ref(), PER_S_MAX)? {
        figures = figures.with_reads(per_s);
    }
    if let Some(per_s) = up_to(context, http.commands_per_s.as_ref(), PER_S_MAX)? {
        figures = figures.with_commands(per_s);
    }
    let streams =
        |given| up_to(context, given, CONNECTIONS_MAX as u32).map(|count| count.map(|count| count as usize));
    if let Some(count) = streams(http.streams_per_token.as_ref())? {
        figures = figures.with_streams_per_token(count);
    }
    if let Some(count) = streams(http.streams_per_address.as_ref())? {
        figures = figures.with_streams_per_address(count);
    }
    Ok(figures)
}

fn up_to(context: &Context<'_>, given: Option<&Spanned<u32>>, max: u32) -> Result<Option<u32>, ConfigError> {
    let Some(given) = given else { return Ok(None) };
    if *given.get_ref() > max {
        let text = format!("{}; from 1 to {max}, or 0 for no limit", given.get_ref());
        return Err(context.wrong(given, text));
    }
    Ok(Some(*given.get_ref()))
}

fn host(context: &Context<'_>, given: &Spanned<String>) -> Result<Host, ConfigError> {
    let text = given.get_ref();
    let why = match Authority::parse(text) {
        Some(Authority { host, port: None }) => return Ok(host),
        Some(_) => "a name stands here without a port; it is good for any",
        None if text.contains('*') => "each name is written out; `*` would let in what these names keep out",
        None => "wanted a name or an address, such as \"plugs.example.org\"",
    };
    Err(context.wrong(given, format!("`{text}`: {why}")))
}

fn proxy(context: &Context<'_>, given: &Spanned<String>) -> Result<IpAddr, ConfigError> {
    let text = given.get_ref();
    let wrong =
        |_| context.wrong(given, format!("`{text}`: wanted the address of a proxy, such as \"127.0.0.1\""));
    text.parse::<IpAddr>().map(|address| address.to_canonical()).map_err(wrong)
}

fn origin(context: &Context<'_>, given: &Spanned<String>) -> Result<Origin, ConfigError> {
    let text = given.get_ref();
    Origin::parse(text).map_err(|error| context.wrong(given, format!("`{text}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::tests::refused;
    use super::*;

    #[test]
    fn names_and_origins_are_taken_as_browsers_write_them() {
        let text = "[http]\nnames = [\"Plugs.example.org\", \"192.168.1.5\"]\n\
                    proxies = [\"::1\"]\ncors_origins = [\"https://panel.example.org\"]\nreads_per_s = 0\n";
        let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let http = Config::parse(text, std::iter::empty(), &read).expect("it is right").http;
        assert_eq!(http.names[0], Host::Name("plugs.example.org".to_owned()));
        assert_eq!(http.names[1], Host::Ip("192.168.1.5".parse().expect("an address")));
        assert_eq!(http.proxies, [std::net::Ipv6Addr::LOCALHOST]);
        assert_eq!(http.limits, Figures::default().with_reads(0));
        assert_eq!(http.cors_origins, [Origin::parse("https://panel.example.org").expect("an origin")]);
    }

    #[test]
    fn a_wrong_name_or_origin_is_refused_where_it_stands() {
        refused("[http]\nnames = [\"box:80\"]\n", (2, 10), "without a port");
        refused("[http]\nnames = [\"box\", \"*.example.org\"]\n", (2, 17), "each name is written out");
        refused("[http]\nnames = [\"http://box\"]\n", (2, 10), "a name or an address");
        refused("[http]\ncors_origins = [\"*\"]\n", (2, 17), "every page of the web");
        refused("[http]\ncors_origins = [\"null\"]\n", (2, 17), "sandbox");
        refused("[http]\ncors_origins = [\"https://a/\"]\n", (2, 17), "no slash");
        refused("[http]\nproxies = [\"10.0.0.0/8\"]\n", (2, 12), "address of a proxy");
        refused("[http]\ntls = \"yes\"\n", (2, 7), "self_signed");
        refused("[http]\ntls_cert_file = \"secret\"\n", (2, 17), "needs tls_key_file");
        refused("[http]\ntls_cert_file = \"secret\"\ntls_key_file = \"secret\"\n", (2, 17), "no certificate");
        refused("[http]\nreads_per_s = 100001\n", (2, 15), "or 0 for no limit");
        refused("[http]\nstreams_per_address = 100001\n", (2, 23), "from 1 to 100000");
        refused("[http]\ncors_orgins = []\n", (2, 1), "`cors_origins`?");
    }
}
