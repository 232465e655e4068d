//! TLS for clients: the certificate, and with `tls.require_client_cert` theirs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::server::config;

/// Why TLS cannot be offered; names the key whose file is at fault.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {path:?}: {reason}")]
pub struct Error {
    key: &'static str,
    path: PathBuf,
    reason: String,
}

/// What the files hold and how they are used, to see whether that has changed.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Files {
    contents: [Option<Vec<u8>>; 3],
    require_client_cert: bool,
}

impl Files {
    /// # Errors
    /// When a file is missing.
    pub(crate) fn read(tls: &config::Tls) -> Result<Self, Error> {
        if !tls.enabled {
            return Ok(Self::default());
        }
        let read = |key, path: &Option<PathBuf>| match path {
            Some(path) => match config::file::read_bytes(path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) => Err(fault(key, path, &error)),
            },
            None => Ok(None),
        };
        Ok(Self {
            contents: [
                read("tls.cert_path", &tls.cert_path)?,
                read("tls.key_path", &tls.key_path)?,
                read("tls.client_ca_path", &tls.client_ca_path)?,
            ],
            require_client_cert: tls.require_client_cert,
        })
    }
}

/// Reads the files; `None` when TLS is off.
///
/// # Errors
/// When a file is missing, is not PEM, or does not fit the others.
pub fn acceptor(tls: &config::Tls) -> Result<Option<TlsAcceptor>, Error> {
    let (true, Some(cert_path), Some(key_path)) = (tls.enabled, &tls.cert_path, &tls.key_path)
    else {
        return Ok(None);
    };
    let certificates = certificates("tls.cert_path", cert_path)?;
    let key = PrivateKeyDer::from_pem_file(key_path)
        .map_err(|error| fault("tls.key_path", key_path, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| fault("tls.enabled", cert_path, &error))?;
    let builder = match &tls.client_ca_path {
        Some(ca_path) => {
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates("tls.client_ca_path", ca_path)? {
                roots
                    .add(certificate)
                    .map_err(|error| fault("tls.client_ca_path", ca_path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if tls.require_client_cert {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            let verifier = verifier
                .build()
                .map_err(|error| fault("tls.client_ca_path", ca_path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| fault("tls.key_path", key_path, &error))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| fault(key, path, &error))?;
    if certificates.is_empty() {
        return Err(fault(key, path, &"holds no certificate"));
    }
    Ok(certificates)
}

fn fault(key: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error {
        key,
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
