//! TLS, with certificates checked both ways.

use std::sync::atomic::Ordering;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::server::peer::wire::introduction_client::IntroductionClient;
use tonic::{Code, Request};

use super::fake::Fake;
use super::relay::{Way, relay};
use super::support::{Met, PATIENCE, Served, client, nowhere, options, options_with};
use crate::replica::{Consistency, PeerError, Peers};
use crate::server::peer::wire::membership_client::MembershipClient;
use crate::server::peer::wire::raft_client::RaftClient;
use crate::server::peer::{
    Connections, Credentials, Error, Members, Options, PeerTls, Proofs, wire,
};

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// For a node at `host`.
    fn sign(&self, host: &str) -> PeerTls {
        self.sign_for(vec![host.to_owned()])
    }

    fn sign_for(&self, hosts: Vec<String>) -> PeerTls {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(hosts).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        PeerTls {
            cert_pem: certificate.pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
            ca_pem: self.0.pem().into_bytes(),
        }
    }
}

fn with(options: Options, tls: PeerTls) -> Options {
    allowing(options, tls, &[])
}

/// The same with `cluster.tls.allowed_names`.
fn allowing(mut options: Options, tls: PeerTls, allowed: &[&str]) -> Options {
    let proofs = Proofs {
        tls: Some(tls),
        allowed_names: allowed.iter().map(|name| (*name).to_owned()).collect(),
        ..Proofs::default()
    };
    options.credentials = Credentials::new(proofs).unwrap();
    options
}

#[tokio::test]
async fn nodes_with_certificates_of_one_ca_talk_to_each_other() {
    let ca = Ca::new();
    let server = Served::start(|addr| with(options(2, addr), ca.sign("127.0.0.1"))).await;
    let caller = with(options(1, nowhere()), ca.sign("127.0.0.1"));
    let caller = Connections::new(&caller);
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
            protocol: "3.0".to_owned(),
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
    let caller = Connections::new(&caller);
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
    let caller = Connections::new(&caller);
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
        let proofs = Proofs {
            tls: Some(broken),
            ..Proofs::default()
        };
        let refused = Credentials::new(proofs).err().unwrap();
        assert!(matches!(refused, Error::Tls(_)));
        assert!(refused.to_string().contains(what), "{refused}");
    }
}

/// The answer of node 2 to a caller with this certificate that says it is node `id`.
async fn told(server: &Served, id: u64, tls: PeerTls) -> Result<u64, PeerError> {
    let caller = Connections::new(&with(options(id, nowhere()), tls));
    caller
        .read_index(&server.peer(2), Consistency::Linearizable)
        .await
}

#[tokio::test]
async fn a_certificate_is_a_node_only_at_that_nodes_address() {
    let ca = Ca::new();
    let met = Met::default();
    let members = || {
        Members::new([
            (1, "127.0.0.1:1".to_owned()),
            (3, "db3.test:7402".to_owned()),
        ])
    };
    let server = Served::start(|addr| {
        let mut options = options_with(2, addr, &met);
        options.members = members();
        with(options, ca.sign("127.0.0.1"))
    })
    .await;
    // The refusal comes only because no replica runs there: node 2 has accepted the caller's identity.
    let own = told(&server, 1, ca.sign("127.0.0.1")).await.unwrap_err();
    assert!(own.to_string().contains("starting"), "{own}");
    let service = told(&server, 1, ca.sign("orders.test")).await.unwrap_err();
    let text = service.to_string();
    assert!(matches!(service, PeerError::Refused(_)), "{text}");
    assert!(
        text.contains("is for orders.test") && text.contains("127.0.0.1:1"),
        "{text}"
    );
    let other_member = told(&server, 3, ca.sign("127.0.0.1")).await.unwrap_err();
    assert!(
        other_member.to_string().contains("db3.test:7402"),
        "{other_member}"
    );
    let stranger = told(&server, 77, ca.sign("127.0.0.1")).await.unwrap_err();
    assert!(
        stranger.to_string().contains("node 77 is not a member"),
        "{stranger}"
    );
    // Only nodes that belong are recorded.
    assert_eq!(met.ids(), [1]);
    assert_eq!(server.server.refusals().callers.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_certificate_that_is_allowed_by_name_is_a_node_at_any_address() {
    let ca = Ca::new();
    let server =
        Served::start(|addr| allowing(options(2, addr), ca.sign("127.0.0.1"), &["nodes.test"]))
            .await;
    let known = told(&server, 1, ca.sign("nodes.test")).await.unwrap_err();
    assert!(known.to_string().contains("starting"), "{known}");
}

#[tokio::test]
async fn an_operator_needs_a_certificate_that_is_a_members_or_allowed() {
    let ca = Ca::new();
    let server =
        Served::start(|addr| allowing(options(2, addr), ca.sign("127.0.0.1"), &["operator.test"]))
            .await;
    for (host, code) in [
        ("operator.test", Code::Unavailable),
        ("127.0.0.1", Code::Unavailable),
        ("orders.test", Code::FailedPrecondition),
    ] {
        let mut members = MembershipClient::new(over_tls(&server, &ca, &ca.sign(host)));
        let answer = members.report(wire::ReportRequest {}).await.unwrap_err();
        assert_eq!(answer.code(), code, "{host}: {answer}");
    }
}

/// A connection of a caller with this certificate, by tonic's own TLS.
fn over_tls(server: &Served, ca: &Ca, own: &PeerTls) -> Channel {
    let config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ca.0.pem()))
        .domain_name("127.0.0.1")
        .identity(Identity::from_pem(&own.cert_pem, &own.key_pem));
    let endpoint = Endpoint::from_shared(format!("https://{}", server.addr)).unwrap();
    endpoint.tls_config(config).unwrap().connect_lazy()
}

#[tokio::test]
async fn a_service_with_a_certificate_of_the_ca_ends_no_leadership() {
    let ca = Ca::new();
    let server = Served::start(|addr| with(options(2, addr), ca.sign("127.0.0.1"))).await;
    let mut raft = RaftClient::new(over_tls(&server, &ca, &ca.sign("orders.test")));
    let mut append = Request::new(wire::AppendRequest {
        vote: Some(wire::Vote {
            term: u64::MAX,
            node_id: 1,
            committed: true,
        }),
        ..wire::AppendRequest::default()
    });
    for (name, value) in Fake::node(1).headers() {
        append.metadata_mut().insert(name, value.parse().unwrap());
    }
    let refused = raft.append(append).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("orders.test"), "{refused}");
}

#[tokio::test]
async fn a_handshake_that_is_too_large_for_the_path_is_tried_again_in_small_packets() {
    let ca = Ca::new();
    // Certificates that fit into no packet that gets through.
    let large = || {
        let more = (0..100).map(|at| format!("another-name-{at}.test"));
        ca.sign_for(
            std::iter::once("127.0.0.1".to_owned())
                .chain(more)
                .collect(),
        )
    };
    let server = Served::start(|addr| with(options(2, addr), large())).await;
    let towards = Way {
        packet_max: Some(1000),
        ..Way::default()
    };
    let back = Way {
        answer_max: Some(1000),
        ..Way::default()
    };
    for way in [towards, back] {
        let caller = Connections::new(&with(options(1, nowhere()), large()));
        let addr = relay(server.addr, way).await.to_string();
        assert!(caller.hello(&addr).await.is_err());
        let through = async { while caller.hello(&addr).await.is_err() {} };
        let through = tokio::time::timeout(PATIENCE, through).await;
        assert!(through.is_ok(), "no handshake came to an end: {way:?}");
    }
}

#[tokio::test]
async fn certificates_are_replaced_while_both_sides_run() {
    let (old, new) = (Ca::new(), Ca::new());
    let proofs = |tls| Proofs {
        tls: Some(tls),
        ..Proofs::default()
    };
    let server = Served::start(|addr| with(options(2, addr), old.sign("127.0.0.1"))).await;
    let caller = with(options(1, nowhere()), new.sign("127.0.0.1"));
    let caller = Connections::new(&caller);
    let addr = server.addr.to_string();
    assert!(caller.hello(&addr).await.is_err());
    let credentials = server.server.credentials();
    let tls = new.sign("127.0.0.1");
    let broken = PeerTls {
        key_pem: Vec::new(),
        ..tls.clone()
    };
    assert!(credentials.replace(proofs(broken)).is_err());
    assert!(caller.hello(&addr).await.is_err());
    assert!(credentials.replace(proofs(tls.clone())).unwrap());
    assert!(!credentials.replace(proofs(tls)).unwrap());
    assert_eq!(caller.hello(&addr).await.unwrap().node_id, 2);
}
