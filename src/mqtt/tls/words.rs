//! What rustls says, for people: what is wrong, with which file or name, and the way out. Pure.

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

use crate::mqtt::settings::{Address, Tls};

/// Why there is no TLS connection to `address`.
#[must_use]
pub fn words(error: &Error, address: &Address) -> String {
    let default = Tls::default();
    let tls = address.tls.as_ref().unwrap_or(&default);
    match error {
        Error::InvalidCertificate(wrong) => {
            format!("the broker's certificate {}", broken(wrong, address, tls))
        }
        Error::AlertReceived(alert) => alerted(*alert, tls),
        Error::InvalidMessage(_) => {
            "the answer is not TLS; is this the broker's port with TLS (mostly 8883)?".into()
        }
        Error::PeerIncompatible(what) => {
            format!("the broker's TLS is too old or too odd: {what:?}; want TLS 1.2")
        }
        other => format!("TLS: {other}"),
    }
}

fn broken(wrong: &CertificateError, address: &Address, tls: &Tls) -> String {
    match wrong {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match &tls.ca_file {
            Some(file) => {
                format!("does not come from the CA in {}; is that the CA of this broker?", file.display())
            }
            None => "comes from no CA that this system knows; set `ca_file` to the CA of this broker".into(),
        },
        CertificateError::ExpiredContext { time, not_after } => {
            format!("expired on {}; here it is {}", date(*not_after), date(*time))
        }
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "begins on {}; here it is {}: is the clock of this machine right?",
            date(*not_before),
            date(*time)
        ),
        CertificateError::NotValidForNameContext { presented, .. } => misnamed(presented, &address.host),
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            "is not one for servers (its extended key usage)".into()
        }
        CertificateError::Other(other) => odd(&other.0.to_string()),
        other => format!("is not good: {other}"),
    }
}

fn misnamed(presented: &[String], host: &str) -> String {
    if presented.is_empty() {
        return format!(
            "names no host; make it with a `subjectAltName` for `{host}` (the common name does not count)"
        );
    }
    let names: Vec<String> = presented.iter().map(|name| format!("`{}`", plain(name))).collect();
    format!("is for {}, not for `{host}`; write a name of it as the broker's host", names.join(", "))
}

/// The name in `DnsName("box.lan")`, as webpki shows it.
fn plain(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

/// Errors that webpki alone knows; it shows them by their names.
fn odd(name: &str) -> String {
    match name {
        "CaUsedAsEndEntity" => {
            "is that of a CA itself; make one for the broker that the CA signs, without `CA:TRUE`".into()
        }
        "UnsupportedCertVersion" => {
            "is of X.509 version 1, without extensions; make it anew with a `subjectAltName`".into()
        }
        other => format!("is not good: {other}"),
    }
}

fn alerted(alert: AlertDescription, tls: &Tls) -> String {
    use AlertDescription as A;
    let why = match alert {
        A::CertificateRequired => return demanded("demands"),
        A::HandshakeFailure if tls.client.is_none() => {
            return demanded("refuses the TLS handshake; perhaps it demands");
        }
        A::ProtocolVersion => return "the broker speaks no TLS 1.2 or newer".into(),
        A::UnrecognisedName => return "the broker does not know the host by this name".into(),
        A::CertificateExpired => "expired",
        A::CertificateRevoked => "revoked",
        A::UnknownCA => "from a CA that it does not know",
        A::BadCertificate | A::UnsupportedCertificate | A::CertificateUnknown => "not good",
        A::AccessDenied | A::DecryptError | A::HandshakeFailure => "not let in",
        other => return format!("the broker ended TLS: {other:?}"),
    };
    match &tls.client {
        Some(client) => format!("the broker refuses our client certificate {}: {why}", client.cert.display()),
        None => format!("the broker ended TLS: {alert:?}"),
    }
}

fn demanded(verb: &str) -> String {
    format!("the broker {verb} a client certificate; set `client_cert_file` and `client_key_file`")
}

/// The day of a moment, UTC.
fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("second {seconds}"), |at| at.strftime("%Y-%m-%d").to_string())
}
