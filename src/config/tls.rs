//! The TLS keys of `[mqtt]`: read once here so that what is wrong shows at the start; read again at every connect.

use std::io::ErrorKind;
use std::path::PathBuf;

use toml::Spanned;

use super::{ConfigError, Context, file};
use crate::mqtt::settings::{BrokerChoice, ClientFiles, Tls};
use crate::mqtt::tls::{self, BadPem, Client, Roots};

/// The settings of an `mqtts://` broker.
pub(super) fn settings(context: &Context<'_>, mqtt: &file::Mqtt) -> Result<Tls, ConfigError> {
    if let Some(path) = &mqtt.ca_file {
        pem(context, path, Roots::parse)?;
    }
    let client = match (&mqtt.client_cert_file, &mqtt.client_key_file) {
        (None, None) => None,
        (Some(cert), None) => return Err(context.wrong(cert, "client_cert_file needs client_key_file")),
        (None, Some(key)) => return Err(context.wrong(key, "client_key_file needs client_cert_file")),
        (Some(cert), Some(key)) => {
            let chain = pem(context, cert, tls::certificates)?;
            Client::new(chain, pem(context, key, tls::key)?).map_err(|error| named(context, key, &error))?;
            Some(ClientFiles { cert: cert.get_ref().clone(), key: key.get_ref().clone() })
        }
    };
    Ok(Tls { ca_file: mqtt.ca_file.as_ref().map(|path| path.get_ref().clone()), client })
}

/// Keys of TLS without TLS are a mistake: somebody believes the connection to be secure.
pub(super) fn check_wanted(
    context: &Context<'_>,
    mqtt: &file::Mqtt,
    broker: &BrokerChoice,
) -> Result<(), ConfigError> {
    let why = match broker {
        BrokerChoice::External(address) if address.tls.is_some() => return Ok(()),
        BrokerChoice::External(_) => {
            "the broker's address begins with `mqtt://`, which is without TLS; write `mqtts://`"
        }
        BrokerChoice::Embedded { .. } => "this is for a broker of your own: broker = \"mqtts://…\"",
    };
    let keys = [&mqtt.ca_file, &mqtt.client_cert_file, &mqtt.client_key_file];
    let names = ["ca_file", "client_cert_file", "client_key_file"];
    match names.iter().zip(keys).find_map(|(name, key)| key.as_ref().map(|key| (name, key))) {
        Some((name, key)) => Err(context.wrong(key, format!("{name}: {why}"))),
        None => Ok(()),
    }
}

pub(super) fn pem<T>(
    context: &Context<'_>,
    path: &Spanned<PathBuf>,
    parse: fn(&str) -> Result<T, BadPem>,
) -> Result<T, ConfigError> {
    let text = (context.read)(path.get_ref()).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => {
            named(context, path, &"not PEM, which is text (`openssl x509 -inform der` converts)")
        }
        _ => named(context, path, &error),
    })?;
    parse(&text).map_err(|error| named(context, path, &error))
}

fn named(context: &Context<'_>, path: &Spanned<PathBuf>, error: &dyn std::fmt::Display) -> ConfigError {
    context.wrong(path, format!("{}: {error}", path.get_ref().display()))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let pair = || rcgen::generate_simple_self_signed(["box".to_owned()]).expect("a certificate");
        let own = pair();
        let read = |path: &Path| match path.to_str() {
            Some("cert") => Ok(own.cert.pem()),
            Some("key") => Ok(own.signing_key.serialize_pem()),
            Some("other key") => Ok(pair().signing_key.serialize_pem()),
            Some("text") => Ok("hello".to_owned()),
            Some("der") => Err(io::ErrorKind::InvalidData.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        Config::parse(text, std::iter::empty(), &read)
    }

    fn secured(keys: &str) -> Result<Config, ConfigError> {
        parse(&format!("[mqtt]\nbroker = \"mqtts://box\"\n{keys}\n"))
    }

    #[test]
    fn a_broker_over_tls_takes_a_ca_and_a_client_certificate_or_none_of_them() {
        let tls_of = |config: Config| match config.mqtt.broker {
            BrokerChoice::External(address) => address.tls.expect("it is mqtts"),
            BrokerChoice::Embedded { .. } => panic!("it is one's own"),
        };
        assert_eq!(tls_of(secured("").expect("it is right")), Tls::default());
        let keys = "ca_file = \"cert\"\nclient_cert_file = \"cert\"\nclient_key_file = \"key\"";
        let tls = tls_of(secured(keys).expect("it is right"));
        assert_eq!(tls.ca_file, Some("cert".into()));
        assert_eq!(tls.client, Some(ClientFiles { cert: "cert".into(), key: "key".into() }));
    }

    #[test]
    fn what_is_wrong_with_a_file_of_tls_is_said_where_it_is_named() {
        for (keys, position, part) in [
            ("ca_file = \"gone\"", (3, 11), "gone: "),
            ("ca_file = \"text\"", (3, 11), "text: holds no certificate"),
            ("ca_file = \"der\"", (3, 11), "der: not PEM"),
            ("ca_file = \"key\"", (3, 11), "key: holds no certificate"),
            ("client_cert_file = \"cert\"", (3, 20), "needs client_key_file"),
            ("client_key_file = \"key\"", (3, 19), "needs client_cert_file"),
            (
                "client_cert_file = \"cert\"\nclient_key_file = \"cert\"",
                (4, 19),
                "cert: holds no private key",
            ),
            ("client_cert_file = \"cert\"\nclient_key_file = \"other key\"", (4, 19), "does not belong"),
            ("ca_fle = \"cert\"", (3, 1), "`ca_file`?"),
        ] {
            let error = secured(keys).expect_err(keys);
            assert_eq!(error.position, Some(position), "{error}");
            assert!(error.text.contains(part), "{error}");
        }
    }

    #[test]
    fn keys_of_tls_without_tls_are_refused() {
        for (broker, part) in [("mqtt://box", "write `mqtts://`"), ("embedded", "a broker of your own")] {
            let text = format!("[mqtt]\nbroker = \"{broker}\"\nca_file = \"cert\"\n");
            let error = parse(&text).expect_err(broker);
            assert_eq!(error.position, Some((3, 11)), "{error}");
            assert!(error.text.starts_with("ca_file: ") && error.text.contains(part), "{error}");
        }
    }
}
