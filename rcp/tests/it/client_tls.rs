//! The client over TLS, against certificates made for each test.

use std::path::PathBuf;
use std::sync::Arc;

use crate::support::{Conn, options};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rstmdb_rcp::client::{Client, ClientOptions, Error, TlsOptions};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for this name and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        (cert.pem(), key.serialize_pem())
    }
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> Option<PathBuf> {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    }
}

/// An echo server with this certificate, asking for client certificates if `clients` is given.
async fn tls_server((cert, key): (String, String), clients: Option<&Authority>) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            let ca = CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap();
            roots.add(ca).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(socket).await {
                    Conn::new(stream).greet().await.echo().await;
                }
            });
        }
    });
    address
}

async fn try_with(addr: &str, tls: TlsOptions) -> Result<(), Error> {
    let client = Client::connect(ClientOptions {
        tls: Some(tls),
        ..options(&[addr])
    })
    .await?;
    let answer = client
        .call::<_, serde_json::Value>("INFO", &serde_json::json!({"secret": 1}))
        .await?;
    assert_eq!(answer.result["secret"], 1);
    Ok(())
}

#[tokio::test]
async fn a_server_is_trusted_by_its_ca_and_name_and_by_nothing_less() {
    let (ours, theirs, files) = (Authority::new(), Authority::new(), Files::new());
    let addr = tls_server(ours.issue("127.0.0.1"), None).await;
    let ca = files.write("ours.pem", &ours.pem);
    let with_ca = |ca_cert: &Option<PathBuf>, name: Option<&str>| TlsOptions {
        ca_cert: ca_cert.clone(),
        server_name: name.map(str::to_owned),
        ..TlsOptions::default()
    };
    try_with(&addr, with_ca(&ca, None)).await.unwrap();
    let wrong_name = try_with(&addr, with_ca(&ca, Some("db.example"))).await;
    assert!(matches!(wrong_name, Err(Error::Tls(_))), "{wrong_name:?}");
    let wrong_ca = files.write("theirs.pem", &theirs.pem);
    let distrusted = try_with(&addr, with_ca(&wrong_ca, None)).await;
    assert!(matches!(distrusted, Err(Error::Tls(_))), "{distrusted:?}");
    let insecure = TlsOptions {
        insecure: true,
        ..with_ca(&wrong_ca, Some("db.example"))
    };
    try_with(&addr, insecure).await.unwrap();
}

#[tokio::test]
async fn a_server_name_overrides_the_address() {
    let (ours, files) = (Authority::new(), Files::new());
    let addr = tls_server(ours.issue("db.example"), None).await;
    let tls = TlsOptions {
        ca_cert: files.write("ca.pem", &ours.pem),
        server_name: Some("db.example".to_owned()),
        ..TlsOptions::default()
    };
    try_with(&addr, tls).await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_opens_a_server_that_asks_for_one() {
    let (ours, files) = (Authority::new(), Files::new());
    let addr = tls_server(ours.issue("127.0.0.1"), Some(&ours)).await;
    let (cert, key) = ours.issue("someone");
    let without = TlsOptions {
        ca_cert: files.write("ca.pem", &ours.pem),
        ..TlsOptions::default()
    };
    let with = TlsOptions {
        client_cert: files.write("cert.pem", &cert),
        client_key: files.write("key.pem", &key),
        ..without.clone()
    };
    try_with(&addr, with).await.unwrap();
    let refused = try_with(&addr, without.clone()).await;
    assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
    let (cert, key) = Authority::new().issue("stranger");
    let stranger = TlsOptions {
        client_cert: files.write("stranger.pem", &cert),
        client_key: files.write("stranger-key.pem", &key),
        ..without
    };
    let refused = try_with(&addr, stranger).await;
    assert!(matches!(refused, Err(Error::Tls(_))), "{refused:?}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let files = Files::new();
    let missing = TlsOptions {
        ca_cert: Some(PathBuf::from("/nowhere/ca.pem")),
        ..TlsOptions::default()
    };
    let error = try_with("127.0.0.1:1", missing).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    let empty = TlsOptions {
        ca_cert: files.write("empty.pem", "nothing here"),
        ..TlsOptions::default()
    };
    let error = try_with("127.0.0.1:1", empty).await.unwrap_err();
    assert!(
        error.to_string().contains("no certificate in it"),
        "{error}"
    );
    let half = TlsOptions {
        client_cert: files.write("cert.pem", ""),
        insecure: true,
        ..TlsOptions::default()
    };
    assert!(matches!(
        try_with("127.0.0.1:1", half).await,
        Err(Error::Options(_))
    ));
}

/// A listener that answers the first bytes of every connection with these, and closes it.
async fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(bytes).await;
        }
    });
    address
}

#[tokio::test]
async fn a_client_without_tls_is_told_when_the_port_has_tls() {
    let authority = Authority::new();
    let addr = tls_server(authority.issue("localhost"), None).await;
    let refused = Client::connect(options(&[&addr])).await.unwrap_err();
    assert!(matches!(refused, Error::Tls(_)), "{refused:?}");
    let refused = refused.to_string();
    assert!(refused.contains("speaks TLS on this port"), "{refused}");
}

#[tokio::test]
async fn a_client_with_tls_is_told_when_the_port_has_none() {
    let insecure = || TlsOptions {
        insecure: true,
        ..TlsOptions::default()
    };
    for answer in [&b"RCPX\0\x01"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let addr = answering(answer).await;
        let refused = try_with(&addr, insecure()).await.unwrap_err();
        assert!(matches!(refused, Error::Tls(_)), "{refused:?}");
        let refused = refused.to_string();
        assert!(
            refused.contains("does not speak TLS on this port"),
            "{refused}"
        );
    }
    let closing = answering(b"").await;
    let refused = try_with(&closing, insecure())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("perhaps this port does not use TLS"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_client_at_a_port_for_http_is_told_so() {
    let addr = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let refused = Client::connect(options(&[&addr])).await.unwrap_err();
    assert!(matches!(refused, Error::Protocol(_)), "{refused:?}");
    assert!(
        refused.to_string().contains("speaks HTTP on this port"),
        "{refused}"
    );
}
