//! TLS between nodes, with certificates checked both ways.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use super::{Error, PeerTls};

/// Refuses what could only fail later, at the first connection and on the other node.
pub(super) fn check(tls: &PeerTls) -> Result<(), Error> {
    let fault =
        |what: &str, reason: &dyn std::fmt::Display| Error::Tls(format!("{what}: {reason}"));
    let read = |what, pem: &[u8]| {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| fault(what, &error))?;
        if certificates.is_empty() {
            return Err(fault(what, &"it holds no certificate"));
        }
        Ok(certificates)
    };
    read("the CA", &tls.ca_pem)?;
    let chain = read("the node's certificate", &tls.cert_pem)?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key_pem)
        .map_err(|error| fault("the node's key", &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| fault("the node's certificate and key", &error))?;
    Ok(())
}

/// For connections to `peer_addr`, whose host the certificate there must name.
pub(super) fn client(tls: &PeerTls, peer_addr: &str) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .identity(Identity::from_pem(&tls.cert_pem, &tls.key_pem))
        .ca_certificate(Certificate::from_pem(&tls.ca_pem))
        .domain_name(host(peer_addr))
}

/// For the listener: a client without a certificate of the CA is refused.
pub(super) fn server(tls: &PeerTls) -> ServerTlsConfig {
    ServerTlsConfig::new()
        .identity(Identity::from_pem(&tls.cert_pem, &tls.key_pem))
        .client_ca_root(Certificate::from_pem(&tls.ca_pem))
        .timeout(super::KEEP_ALIVE_TIMEOUT)
}

/// The host of `host:port`, an IPv6 address without its brackets.
fn host(addr: &str) -> &str {
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_of_an_address_is_found_in_every_notation() {
        assert_eq!(host("node-2.internal:7401"), "node-2.internal");
        assert_eq!(host("10.0.0.2:7401"), "10.0.0.2");
        assert_eq!(host("[fe80::1]:7401"), "fe80::1");
    }
}
