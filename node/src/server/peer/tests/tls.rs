//! TLS, with certificates checked both ways.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::super::wire::introduction_client::IntroductionClient;
use super::super::{Connections, Error, Options, PeerServer, PeerTls, wire};
use super::support::{Served, client, nowhere, options};
use crate::replica::PeerError;

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// For a node at `host`.
    fn sign(&self, host: &str) -> PeerTls {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        PeerTls {
            cert_pem: certificate.pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
            ca_pem: self.0.pem().into_bytes(),
        }
    }
}

fn with(mut options: Options, tls: PeerTls) -> Options {
    options.tls = Some(tls);
    options
}

#[tokio::test]
async fn nodes_with_certificates_of_one_ca_talk_to_each_other() {
    let ca = Ca::new();
    let server = Served::start(|addr| with(options(2, addr), ca.sign("127.0.0.1"))).await;
    let caller = with(options(1, nowhere()), ca.sign("127.0.0.1"));
    let caller = Connections::new(&caller).unwrap();
    let answer = caller.hello(&server.addr.to_string()).await.unwrap();
    assert_eq!(answer.node_id, 2);
}

#[tokio::test]
async fn the_server_refuses_a_client_without_a_certificate_or_with_one_of_another_ca() {
    let ca = Ca::new();
    let server = Served::start(|addr| with(options(2, addr), ca.sign("127.0.0.1"))).await;
    let trusting = || {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca.0.pem()))
            .domain_name("127.0.0.1")
    };
    let stranger = Ca::new().sign("127.0.0.1");
    let foreign = Identity::from_pem(&stranger.cert_pem, &stranger.key_pem);
    let own = ca.sign("127.0.0.1");
    let own = Identity::from_pem(&own.cert_pem, &own.key_pem);
    for (config, welcome) in [
        (trusting(), false),
        (trusting().identity(foreign), false),
        (trusting().identity(own), true),
    ] {
        let endpoint = Endpoint::from_shared(format!("https://{}", server.addr)).unwrap();
        let channel = endpoint.tls_config(config).unwrap().connect_lazy();
        let hello = wire::HelloRequest {
            protocol: "1.0".to_owned(),
            ..wire::HelloRequest::default()
        };
        let answer = IntroductionClient::new(channel).hello(hello).await;
        assert_eq!(answer.is_ok(), welcome, "{answer:?}");
    }
}

#[tokio::test]
async fn the_client_refuses_a_server_of_another_ca_or_under_another_name() {
    let ca = Ca::new();
    let caller = with(options(1, nowhere()), ca.sign("127.0.0.1"));
    let caller = Connections::new(&caller).unwrap();
    for tls in [Ca::new().sign("127.0.0.1"), ca.sign("elsewhere.test")] {
        let server = Served::start(|addr| with(options(2, addr), tls)).await;
        let answer = caller.hello(&server.addr.to_string()).await;
        assert!(
            matches!(answer, Err(PeerError::Unreachable(_))),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn one_side_without_tls_is_not_understood() {
    let ca = Ca::new();
    let server = Served::start(|addr| with(options(2, addr), ca.sign("127.0.0.1"))).await;
    assert!(client(1).hello(&server.addr.to_string()).await.is_err());

    let plain = Served::start(|addr| options(2, addr)).await;
    let caller = with(options(1, nowhere()), ca.sign("127.0.0.1"));
    let caller = Connections::new(&caller).unwrap();
    assert!(caller.hello(&plain.addr.to_string()).await.is_err());
}

#[tokio::test]
async fn certificates_that_cannot_work_are_refused_at_the_start() {
    let good = Ca::new().sign("127.0.0.1");
    let other = Ca::new().sign("127.0.0.1");
    let none = b"no certificate".to_vec();
    for (broken, what) in [
        (
            PeerTls {
                ca_pem: none.clone(),
                ..good.clone()
            },
            "the CA",
        ),
        (
            PeerTls {
                cert_pem: none,
                ..good.clone()
            },
            "the node's certificate",
        ),
        (
            PeerTls {
                key_pem: good.cert_pem.clone(),
                ..good.clone()
            },
            "the node's key",
        ),
        (
            PeerTls {
                key_pem: other.key_pem,
                ..good
            },
            "the node's certificate and key",
        ),
    ] {
        let options = with(options(1, nowhere()), broken);
        let refused = Connections::new(&options).err().unwrap();
        assert!(matches!(refused, Error::Tls(_)));
        assert!(refused.to_string().contains(what), "{refused}");
        assert!(PeerServer::new(&options).is_err());
    }
}
