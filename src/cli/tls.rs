//! TLS towards a gateway: known by the fingerprint of its certificate, or by a CA. Nothing is ever left unchecked.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::mqtt::tls::{Roots, config};

/// How a gateway is known.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// By SHA-256 of its certificate: 64 digits, with colons or without.
    ///
    /// # Errors
    /// When it is no fingerprint.
    pub fn pinned(fingerprint: &str) -> anyhow::Result<Self> {
        let digits: String = fingerprint.chars().filter(|digit| *digit != ':').collect();
        let bytes = (0..digits.len())
            .step_by(2)
            .map(|at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()));
        let bytes: Option<Vec<u8>> = bytes.collect();
        let wanted: [u8; 32] = bytes.and_then(|bytes| bytes.try_into().ok()).with_context(|| {
            format!("`{fingerprint}` is no SHA-256 of a certificate, which has 64 digits")
        })?;
        let provider = Arc::new(ring::default_provider());
        let pin = Pin { wanted, provider: Arc::clone(&provider) };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pin))
            .with_no_client_auth();
        // A resumed session shows no certificate.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// By the CAs of a file.
    ///
    /// # Errors
    /// When it cannot be read or holds no certificate.
    pub fn by_ca(file: &Path) -> anyhow::Result<Self> {
        let shown = || file.display().to_string();
        let roots = Roots::parse(&std::fs::read_to_string(file).with_context(shown)?).with_context(shown)?;
        Ok(Self(config(roots, None)?))
    }

    /// The handshake with the gateway at `host`.
    ///
    /// # Errors
    /// When it is not the one that is trusted.
    pub(super) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> anyhow::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        connector.connect(name, stream).await.map_err(|error| anyhow!("TLS: {error}"))
    }
}

/// Believes one certificate, whatever names and dates stand in it.
#[derive(Debug)]
struct Pin {
    wanted: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Sha256::digest(certificate).as_slice() == self.wanted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::General("the certificate has another fingerprint than the one that is trusted".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
