//! TLS of the API: whose certificate is shown, and that a renewed one is taken while connections stay open. A
//! connection is handed on as bytes; HTTP knows only which protocol was agreed upon.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::guard::host::Host;
use crate::mqtt::tls::{certificates, key};

/// The protocols that are spoken, the one that is liked best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// Files are looked at when somebody connects, and no sooner than this after the last look.
pub const LOOK: Duration = Duration::from_secs(2);
/// The gateway's own certificate in the state folder, and its key.
const OWN: [&str; 2] = ["http-cert.pem", "http-key.pem"];

/// A certificate with its key, in two files of PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and those between it and its CA.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Files {
    /// The gateway's own certificate, made now if there is none: for the names and addresses that it goes by.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn own<'a>(state: &Path, hosts: impl Iterator<Item = &'a Host>, bound: IpAddr) -> io::Result<Self> {
        let [cert, key] = OWN.map(|name| state.join(name));
        if !(cert.exists() && key.exists()) {
            let hosts = hosts.map(|host| match host {
                Host::Name(name) => name.clone(),
                Host::Ip(address) => address.to_string(),
            });
            let bound = (!bound.is_unspecified()).then(|| bound.to_string());
            let all: BTreeSet<String> =
                ["127.0.0.1", "::1"].map(str::to_owned).into_iter().chain(hosts).chain(bound).collect();
            let made = rcgen::generate_simple_self_signed(all.into_iter().collect::<Vec<_>>())
                .map_err(io::Error::other)?;
            write(&key, &made.signing_key.serialize_pem())?;
            write(&cert, &made.cert.pem())?;
        }
        Ok(Self { cert, key })
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// What tells one state of a file from another.
type Mark = [(u64, i64, i64, u64); 2];

fn mark(files: &Files) -> io::Result<Mark> {
    let of = |path: &Path| {
        std::fs::metadata(path).map(|data| (data.ino(), data.mtime(), data.mtime_nsec(), data.size()))
    };
    Ok([of(&files.cert)?, of(&files.key)?])
}

fn load(files: &Files) -> Result<CertifiedKey, String> {
    let named = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| named(path, &error));
    let chain = certificates(&read(&files.cert)?).map_err(|error| named(&files.cert, &error))?;
    let key = key(&read(&files.key)?).map_err(|error| named(&files.key, &error))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            named(&files.key, &"this key does not belong to the certificate")
        }
        error => named(&files.key, &error),
    })
}

/// SHA-256 of a certificate, as browsers and openssl show it: `AB:CD:…`.
fn fingerprint(pair: &CertifiedKey) -> String {
    let certificate = pair.cert.first().map(|certificate| certificate.as_ref()).unwrap_or_default();
    let digits: Vec<String> = Sha256::digest(certificate).iter().map(|byte| format!("{byte:02X}")).collect();
    digits.join(":")
}

/// The certificate that is shown now.
#[derive(Debug)]
pub struct Keys {
    files: Files,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    pair: Arc<CertifiedKey>,
    mark: Option<Mark>,
    looked: Instant,
}

impl Keys {
    /// Reads the files.
    ///
    /// # Errors
    /// The words for whoever named them.
    pub fn open(files: Files) -> Result<Arc<Self>, String> {
        let mark = mark(&files).ok();
        let now = Now { pair: Arc::new(load(&files)?), mark, looked: Instant::now() };
        Ok(Arc::new(Self { files, now: Mutex::new(now) }))
    }

    /// SHA-256 of the certificate that is shown: `AB:CD:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.now.lock().unwrap_or_else(PoisonError::into_inner).pair)
    }

    /// Reads the files again if they are others than before; while they are bad, the last good ones count.
    fn look(&self, every: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.looked.elapsed() < every {
            return;
        }
        now.looked = Instant::now();
        let mark = mark(&self.files).ok();
        if mark == now.mark {
            return;
        }
        // Remembered also when they are bad: said once, and looked at again when they change.
        now.mark = mark;
        match load(&self.files) {
            Ok(pair) => {
                now.pair = Arc::new(pair);
                tracing::info!(
                    sha256 = fingerprint(&now.pair),
                    "the certificate of the HTTP API was renewed"
                );
            }
            Err(why) => tracing::error!("the HTTP API goes on with its old certificate: {why}"),
        }
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner).pair))
    }
}

/// Takes connections over TLS.
#[derive(Clone)]
pub(super) struct Acceptor {
    keys: Arc<Keys>,
    acceptor: TlsAcceptor,
    look: Duration,
}

impl Acceptor {
    /// # Errors
    /// Those of rustls; with this provider and these versions there are none.
    pub(super) fn new(keys: Arc<Keys>, look: Duration) -> Result<Self, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&keys) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self { keys, acceptor: TlsAcceptor::from(Arc::new(config)), look })
    }

    /// The handshake; true when HTTP/2 was agreed upon.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, bool)> {
        self.keys.look(self.look);
        let stream = self.acceptor.accept(stream).await?;
        let two = stream.get_ref().1.alpn_protocol() == Some(PROTOCOLS[0]);
        Ok((stream, two))
    }
}
