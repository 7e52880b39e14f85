//! TLS towards a broker: PEM texts made into what rustls wants, and its errors into words. Pure: the caller reads the
//! files. There is no way to leave a certificate unchecked.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};

mod words;

pub use words::words;

/// A PEM text that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPem(String);

fn bad<T>(why: impl Into<String>) -> Result<T, BadPem> {
    Err(BadPem(why.into()))
}

/// Whom we believe.
#[derive(Debug)]
pub struct Roots(RootCertStore);

impl Roots {
    /// The CAs of a PEM text, all of which must be good.
    ///
    /// # Errors
    /// [`BadPem`] when it holds none, or one that cannot be read.
    pub fn parse(pem: &str) -> Result<Self, BadPem> {
        let mut store = RootCertStore::empty();
        for (at, certificate) in certificates(pem)?.into_iter().enumerate() {
            store.add(certificate).map_err(|error| BadPem(format!("certificate {}: {error}", at + 1)))?;
        }
        Ok(Self(store))
    }

    /// Those of the system that can be read; `None` when there are none.
    #[must_use]
    pub fn of_system(certificates: Vec<CertificateDer<'static>>) -> Option<Self> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates);
        (!store.is_empty()).then_some(Self(store))
    }
}

/// The certificates of a PEM text, in order; other sections are passed over.
///
/// # Errors
/// [`BadPem`] when there are none, or the text is damaged.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, BadPem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.or_else(|error| bad(format!("not PEM: {}", damage(&error))))?;
    if found.is_empty() {
        return bad("holds no certificate; want PEM, with a line `-----BEGIN CERTIFICATE-----`");
    }
    Ok(found)
}

/// The first private key of a PEM text.
///
/// # Errors
/// [`BadPem`] when there is none, it is encrypted, or the text is damaged.
pub fn key(pem: &str) -> Result<PrivateKeyDer<'static>, BadPem> {
    if ENCRYPTED.iter().any(|mark| pem.contains(mark)) {
        return bad("the key is encrypted, and nobody is there to type its password; write it plain \
                    (`openssl pkey -in OLD -out NEW`) into a file that only the gateway may read");
    }
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) => {
            bad("holds no private key; want PEM, with a line `-----BEGIN PRIVATE KEY-----`")
        }
        Err(error) => bad(format!("not PEM: {}", damage(&error))),
    }
}

/// What tells an encrypted key: of PKCS #8 (RFC 5958), and of the older form (RFC 1421).
const ENCRYPTED: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];

/// Shows nothing of the text: in a file whose line breaks are lost, what stands for a label holds the key.
fn damage(error: &PemError) -> &'static str {
    match error {
        PemError::MissingSectionEnd { .. } => "a line `-----BEGIN …-----` has no `-----END …-----` after it",
        PemError::IllegalSectionStart { .. } => "a line that begins with `-----BEGIN` goes on wrongly",
        PemError::Base64Decode(_) => "its base64 is damaged",
        _ => "it is damaged",
    }
}

/// Our certificate with its key.
#[derive(Debug)]
pub struct Client(CertifiedKey);

impl Client {
    /// Puts both together.
    ///
    /// # Errors
    /// [`BadPem`] when the key is of an unknown kind, or belongs to another certificate.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, BadPem> {
        match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
            Ok(pair) => Ok(Self(pair)),
            Err(rustls::Error::InconsistentKeys(_)) => {
                bad("this key does not belong to the client certificate")
            }
            Err(error) => bad(format!("not usable with the client certificate: {error}")),
        }
    }
}

/// What one connection needs: TLS 1.2 or 1.3, names and dates checked.
///
/// # Errors
/// Those of rustls; with this provider and these versions there are none.
pub fn config(roots: Roots, client: Option<Client>) -> Result<Arc<ClientConfig>, rustls::Error> {
    // Named here and not installed for the process: whoever else uses rustls chooses for himself.
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots.0);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(client.0)))
        }
    };
    // It serves one connection; the next reads the files anew, and an old session must not outlive a certificate.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
