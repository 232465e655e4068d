//! TLS and mTLS.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::http_client::Http;
use super::support::{Conn, TestNode};

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    /// A CA, a server's and a client's certificate.
    fn make() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &ca).unwrap();
            std::fs::write(dir.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn client(&self, with_certificate: bool) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.path("ca.pem")).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = if with_certificate {
            let certificate = CertificateDer::from_pem_file(self.path("client.pem")).unwrap();
            let key = PrivateKeyDer::from_pem_file(self.path("client.key")).unwrap();
            builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap()
        } else {
            builder.with_no_client_auth()
        };
        TlsConnector::from(Arc::new(config))
    }
}

async fn connect(node: &TestNode, connector: &TlsConnector) -> std::io::Result<Conn> {
    let stream = TcpStream::connect(node.addr).await?;
    let name = ServerName::try_from("localhost").unwrap();
    Ok(Conn::over(connector.connect(name, stream).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_speak_tls() {
    let files = Files::make();
    let node = TestNode::start(&[
        ("RSTMDB_TLS_ENABLED", "true"),
        ("RSTMDB_TLS_CERT", &files.path("server.pem")),
        ("RSTMDB_TLS_KEY", &files.path("server.key")),
    ])
    .await;
    let mut conn = connect(&node, &files.client(false)).await.unwrap();
    conn.hello(json!(["cluster"]), None).await;
    let (_, id) = conn.order().await;
    let params =
        json!({ "instance_id": id, "event": "PAY", "payload": { "big": "x".repeat(1 << 20) } });
    let done = conn.ok("APPLY_EVENT", params).await;
    assert_eq!(done["ctx"]["big"].as_str().unwrap().len(), 1 << 20);
    // A client that does not speak TLS gets no bytes that it could take for an answer.
    let mut plain = Conn::raw(node.addr).await;
    plain
        .send_bytes(b"RCPX\0\x01\0\0\0\0\0\0\0\0\0\0\0\0")
        .await;
    let mut ignored = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut plain.stream, &mut ignored).await;
    assert!(!ignored.starts_with(b"RCPX"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_without_a_certificate_are_refused_where_one_is_asked_for() {
    let files = Files::make();
    let node = TestNode::start(&[
        ("RSTMDB_TLS_ENABLED", "true"),
        ("RSTMDB_TLS_CERT", &files.path("server.pem")),
        ("RSTMDB_TLS_KEY", &files.path("server.key")),
        ("RSTMDB_TLS_REQUIRE_CLIENT_CERT", "true"),
        ("RSTMDB_TLS_CLIENT_CA", &files.path("ca.pem")),
    ])
    .await;
    let mut conn = connect(&node, &files.client(true)).await.unwrap();
    conn.hello(json!([]), None).await;
    // In TLS 1.3 the refusal may come after the client's side of the handshake is done.
    if let Ok(mut refused) = connect(&node, &files.client(false)).await {
        refused.closed().await;
    }
    node.stop().await;
}

async fn connect_http(node: &TestNode, connector: &TlsConnector) -> std::io::Result<Http> {
    let stream = TcpStream::connect(node.http).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, stream).await?;
    Ok(Http::over(stream, "localhost"))
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_spoken_inside_tls_and_not_beside_it() {
    let files = Files::make();
    let node = TestNode::start(&[
        ("RSTMDB_TLS_ENABLED", "true"),
        ("RSTMDB_TLS_CERT", &files.path("server.pem")),
        ("RSTMDB_TLS_KEY", &files.path("server.key")),
    ])
    .await;
    let mut rcp = connect(&node, &files.client(false)).await.unwrap();
    rcp.hello(json!([]), None).await;
    let (_, id) = rcp.order().await;
    let mut http = connect_http(&node, &files.client(false)).await.unwrap();
    let events = format!("/v1/instances/{id}/events");
    let pay = json!({ "event": "PAY", "payload": { "big": "x".repeat(1 << 20) } });
    let paid = http.send_json("POST", &events, &pay).await.ok();
    assert_eq!(paid["ctx"]["big"].as_str().unwrap().len(), 1 << 20);
    // The connection is kept, as it is without TLS.
    let got = http.get(&format!("/v1/instances/{id}")).await.ok();
    assert_eq!(got["state"], "paid");
    // Without TLS there is nothing that could be taken for an answer.
    let mut plain = Conn::raw(node.http).await;
    plain
        .send_bytes(b"GET /v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let mut told = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut plain.stream, &mut told).await;
    assert!(!told.starts_with(b"HTTP/"), "{told:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_clients_without_a_certificate_are_refused_where_one_is_asked_for() {
    let files = Files::make();
    let node = TestNode::start(&[
        ("RSTMDB_TLS_ENABLED", "true"),
        ("RSTMDB_TLS_CERT", &files.path("server.pem")),
        ("RSTMDB_TLS_KEY", &files.path("server.key")),
        ("RSTMDB_TLS_REQUIRE_CLIENT_CERT", "true"),
        ("RSTMDB_TLS_CLIENT_CA", &files.path("ca.pem")),
    ])
    .await;
    let mut http = connect_http(&node, &files.client(true)).await.unwrap();
    assert_eq!(http.get("/v1/info").await.ok()["server_name"], "rstmdb");
    // In TLS 1.3 the refusal may come after the client's side of the handshake is done.
    if let Ok(mut refused) = connect_http(&node, &files.client(false)).await {
        refused.begin("GET", "/v1/info", &[], None).await;
        assert!(refused.head().await.is_none());
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_a_client_with_a_name_and_roles() {
    let files = Files::make();
    let tokens = files.path("tokens.yaml");
    let by_name = |name: &str| format!("- {{name: shop, certificate: {name}, roles: [reader]}}\n");
    std::fs::write(&tokens, by_name("LocalHost")).unwrap();
    let node = TestNode::start(&[
        ("RSTMDB_TLS_ENABLED", "true"),
        ("RSTMDB_TLS_CERT", &files.path("server.pem")),
        ("RSTMDB_TLS_KEY", &files.path("server.key")),
        ("RSTMDB_TLS_CLIENT_CA", &files.path("ca.pem")),
        ("RSTMDB_AUTH_REQUIRED", "true"),
        ("RSTMDB_AUTH_TOKENS_FILE", &tokens),
    ])
    .await;
    let mut conn = connect(&node, &files.client(true)).await.unwrap();
    conn.hello(json!(["cluster", "lifecycle"]), None).await;
    let who = conn.ok("WHOAMI", json!({})).await;
    assert_eq!(
        (&who["name"], &who["roles"]),
        (&json!("shop"), &json!(["reader"]))
    );
    conn.ok("LIST_INSTANCES", json!({})).await;
    conn.refused("FLUSH_ALL", json!({}), "FORBIDDEN").await;
    let mut stranger = connect(&node, &files.client(false)).await.unwrap();
    stranger.hello(json!(["cluster", "lifecycle"]), None).await;
    stranger
        .refused("LIST_INSTANCES", json!({}), "UNAUTHORIZED")
        .await;
    // Over HTTP, too.
    for (with_certificate, status) in [(true, "403"), (false, "401")] {
        let stream = TcpStream::connect(node.http).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = files.client(with_certificate);
        let mut stream = connector.connect(name, stream).await.unwrap();
        let body = "{\"force_snapshot\":true}";
        let request = format!(
            "POST /v1/compact HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    for (with_certificate, status) in [(true, "200"), (false, "401")] {
        let stream = TcpStream::connect(node.http).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = files.client(with_certificate);
        let mut stream = connector.connect(name, stream).await.unwrap();
        let request = "GET /v1/whoami HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // The server may close without saying so in TLS.
        let _ = stream.read_to_string(&mut answer).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert_eq!(answer.contains("\"shop\""), with_certificate, "{answer}");
    }
    node.stop().await;
}

#[test]
fn files_that_do_not_fit_are_refused_with_their_key() {
    let files = Files::make();
    let load = |cert: &str, key: &str| {
        let config = rstmdb::server::Config::load(None, |name| match name {
            "RSTMDB_TLS_ENABLED" => Some("true".to_owned()),
            "RSTMDB_TLS_CERT" => Some(cert.to_owned()),
            "RSTMDB_TLS_KEY" => Some(key.to_owned()),
            _ => None,
        });
        rstmdb::server::tls::acceptor(&config.unwrap().tls)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert!(load(&files.path("server.pem"), &files.path("server.key")).is_ok());
    assert!(Path::new(&files.path("ca.pem")).exists());
    for (cert, key, named) in [
        (
            "/nowhere.pem".to_owned(),
            files.path("server.key"),
            "tls.cert_path",
        ),
        (
            files.path("server.pem"),
            "/nowhere.key".to_owned(),
            "tls.key_path",
        ),
        (
            files.path("server.key"),
            files.path("server.key"),
            "tls.cert_path",
        ),
        (
            files.path("server.pem"),
            files.path("client.key"),
            "tls.key_path",
        ),
    ] {
        let error = load(&cert, &key).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
}
