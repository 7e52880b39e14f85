//! The keys of `[http]` about whom the API answers to.

use toml::Spanned;

use super::{ConfigError, Context, file};
use crate::http::guard::host::{Authority, Host};
use crate::http::guard::origin::Origin;

/// What the configuration says of the HTTP API beyond where it listens.
#[derive(Clone, Debug, Default)]
pub struct HttpKeys {
    /// Names by which the gateway is reached, beside its host name and addresses.
    pub names: Vec<Host>,
    /// Origins whose pages may use the API.
    pub cors_origins: Vec<Origin>,
}

/// Reads them.
pub(super) fn keys(context: &Context<'_>, http: &file::Http) -> Result<HttpKeys, ConfigError> {
    Ok(HttpKeys {
        names: http.names.iter().map(|name| host(context, name)).collect::<Result<_, _>>()?,
        cors_origins: http.cors_origins.iter().map(|text| origin(context, text)).collect::<Result<_, _>>()?,
    })
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
                    cors_origins = [\"https://panel.example.org\"]\n";
        let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let http = Config::parse(text, std::iter::empty(), &read).expect("it is right").http;
        assert_eq!(http.names[0], Host::Name("plugs.example.org".to_owned()));
        assert_eq!(http.names[1], Host::Ip("192.168.1.5".parse().expect("an address")));
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
        refused("[http]\ncors_orgins = []\n", (2, 1), "`cors_origins`?");
    }
}
