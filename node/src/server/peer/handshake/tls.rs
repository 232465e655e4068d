//! TLS between nodes, with certificates checked both ways.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ConfigBuilder, ConfigSide, RootCertStore, ServerConfig};

use crate::server::peer::{Error, PeerTls};

/// What HTTP/2 is called inside TLS.
const HTTP2: &[u8] = b"h2";

/// For connections to other nodes: the certificate there has to be of the CA and to name the host.
pub(crate) fn client(tls: &PeerTls) -> Result<Arc<ClientConfig>, Error> {
    let (chain, key) = own(tls)?;
    let builder = versions(ClientConfig::builder_with_provider(provider()))?;
    let mut config = builder
        .with_root_certificates(roots(tls)?)
        .with_client_auth_cert(chain, key)
        .map_err(|error| fault("the node's certificate and key", &error))?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(Arc::new(config))
}

/// For the listener: a client without a certificate of the CA is refused.
pub(crate) fn server(tls: &PeerTls) -> Result<Arc<ServerConfig>, Error> {
    let (chain, key) = own(tls)?;
    let roots = Arc::new(roots(tls)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
    let verifier = verifier.map_err(|error| fault("the CA", &error))?;
    let builder = versions(ServerConfig::builder_with_provider(provider()))?;
    let mut config = builder
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| fault("the node's certificate and key", &error))?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn versions<S: ConfigSide>(
    builder: ConfigBuilder<S, rustls::WantsVersions>,
) -> Result<ConfigBuilder<S, rustls::WantsVerifier>, Error> {
    let chosen = builder.with_safe_default_protocol_versions();
    chosen.map_err(|error| fault("TLS", &error))
}

fn own(tls: &PeerTls) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let chain = certificates("the node's certificate", &tls.cert_pem)?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key_pem);
    Ok((chain, key.map_err(|error| fault("the node's key", &error))?))
}

fn roots(tls: &PeerTls) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("the CA", &tls.ca_pem)? {
        roots
            .add(certificate)
            .map_err(|error| fault("the CA", &error))?;
    }
    Ok(roots)
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| fault(what, &error))?;
    if certificates.is_empty() {
        return Err(fault(what, &"it holds no certificate"));
    }
    Ok(certificates)
}

fn fault(what: &str, reason: &dyn std::fmt::Display) -> Error {
    Error::Tls(format!("{what}: {reason}"))
}
