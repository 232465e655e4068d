//! A node that does not belong to the cluster is refused on both sides. The refusal names what does not fit.

use std::io;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tonic::{Code, Request};

use super::fake::Fake;
use super::support::{
    CLUSTER, Met, Served, channel, client, incarnation, nowhere, options, options_with, peer,
};
use crate::replica::{Consistency, LeaderChange, PeerError, Peers};
use crate::server::peer::wire::membership_client::MembershipClient;
use crate::server::peer::wire::node_client::NodeClient;
use crate::server::peer::{Connections, Options, wire};

fn of_cluster(mut options: Options, cluster: u128) -> Options {
    options.local.cluster_id = Arc::new(OnceLock::from(cluster));
    options
}

/// What a caller of `Served` is told.
async fn told(server: &Served, caller: &Connections) -> String {
    let refused = caller.read_index(&server.peer(2), Consistency::Linearizable);
    match refused.await {
        Err(PeerError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

/// What a caller of `Fake` concludes.
async fn concluded(fake: Fake, caller: &Connections) -> Result<(), String> {
    let addr = fake.serve().await;
    let change = LeaderChange::Promote { node_id: 7 };
    match caller.change(&peer(2, addr), &change).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(PeerError::Refused(reason)) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_that_fits_is_answered() {
    assert_eq!(concluded(Fake::node(2), &client(1)).await, Ok(()));
}

#[tokio::test]
async fn the_server_refuses_another_cluster_and_names_both() {
    let server = Served::start(|addr| options(2, addr)).await;
    let stranger = Connections::new(&of_cluster(options(1, nowhere()), 0xbad));
    let reason = told(&server, &stranger).await;
    let (theirs, ours) = (uuid(0xbad), uuid(CLUSTER));
    let says = format!("node 1 belongs to cluster {theirs}, and node 2 to cluster {ours}");
    assert!(reason.contains(&says), "{reason}");
}

#[tokio::test]
async fn the_client_refuses_another_cluster_and_names_both() {
    let other = Fake {
        cluster: 0xbad,
        ..Fake::node(2)
    };
    let reason = concluded(other, &client(1)).await.unwrap_err();
    let (theirs, ours) = (uuid(0xbad), uuid(CLUSTER));
    let says = format!("node 2 belongs to cluster {theirs}, and node 1 to cluster {ours}");
    assert!(reason.contains(&says), "{reason}");
}

#[tokio::test]
async fn the_server_refuses_another_data_folder_under_a_known_id() {
    let met = Met::with(&[(1, 99)]);
    let server = Served::start(|addr| options_with(2, addr, &met)).await;
    let reason = told(&server, &client(1)).await;
    assert_eq!(reason, "node 1 was met as 63 before");
}

#[tokio::test]
async fn the_client_refuses_another_data_folder_under_a_known_id() {
    let met = Met::with(&[(2, 99)]);
    let caller = Connections::new(&options_with(1, nowhere(), &met));
    let reason = concluded(Fake::node(2), &caller).await.unwrap_err();
    assert_eq!(reason, "node 2 was met as 63 before");
}

#[tokio::test]
async fn a_data_folder_that_changes_later_is_refused_then() {
    let caller = client(1);
    assert_eq!(concluded(Fake::node(2), &caller).await, Ok(()));
    let emptied = Fake {
        incarnation: incarnation(2) + 1,
        ..Fake::node(2)
    };
    assert!(concluded(emptied, &caller).await.is_err());
}

#[tokio::test]
async fn the_client_refuses_another_node_at_the_address() {
    let reason = concluded(Fake::node(3), &client(1)).await.unwrap_err();
    assert!(reason.contains("node 3 answers at 127.0.0.1:"), "{reason}");
    assert!(reason.contains("where node 2 was expected"), "{reason}");
}

#[tokio::test]
async fn the_server_refuses_a_caller_with_its_own_id() {
    let server = Served::start(|addr| options(2, addr)).await;
    let reason = told(&server, &client(2)).await;
    assert!(reason.contains("has the id of this node, 2"), "{reason}");
}

#[tokio::test]
async fn the_client_refuses_another_major_version_and_names_both() {
    let newer = Fake {
        protocol: "4.3",
        ..Fake::node(2)
    };
    let reason = concluded(newer, &client(1)).await.unwrap_err();
    let says = "node 2 speaks version 4.3 of the protocol between nodes, and node 1 speaks 3.0";
    assert!(reason.contains(says), "{reason}");
}

#[tokio::test]
async fn the_server_refuses_another_major_version_and_who_does_not_say_who_it_is() {
    let server = Served::start(|addr| options(2, addr)).await;
    let mut node = NodeClient::new(channel(server.addr));

    let mut newer = Request::new(wire::ReadIndexRequest::default());
    for (name, value) in [
        ("rstmdb-protocol", "4.3"),
        ("rstmdb-node", "1"),
        ("rstmdb-cluster", "0"),
        ("rstmdb-incarnation", "0"),
    ] {
        newer.metadata_mut().insert(name, value.parse().unwrap());
    }
    let refused = node.read_index(newer).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let says = "node 1 speaks version 4.3 of the protocol between nodes, and node 2 speaks 3.0";
    assert!(refused.message().contains(says), "{refused}");

    let stranger = Request::new(wire::ReadIndexRequest::default());
    let refused = node.read_index(stranger).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("rstmdb-node"), "{refused}");
}

#[tokio::test]
async fn operators_need_not_say_who_they_are() {
    let server = Served::start(|addr| options(2, addr)).await;
    let mut members = MembershipClient::new(channel(server.addr));
    let starting = members.report(wire::ReportRequest {}).await.unwrap_err();
    assert_eq!(starting.code(), Code::Unavailable, "{starting}");
    assert!(
        starting.message().starts_with("this node is starting"),
        "{starting}"
    );
}

#[tokio::test]
async fn a_node_without_a_cluster_neither_calls_nor_answers() {
    let homeless = |mut options: Options| {
        options.local.cluster_id = Arc::new(OnceLock::new());
        options
    };
    let server = Served::start(|addr| homeless(options(2, addr))).await;
    let caller = client(1);
    let answer = caller.report(&server.peer(2)).await.unwrap_err();
    assert!(
        answer.to_string().contains("belongs to no cluster yet"),
        "{answer}"
    );

    let caller = Connections::new(&homeless(options(1, nowhere())));
    let answer = caller.report(&server.peer(2)).await.unwrap_err();
    assert!(
        answer.to_string().contains("belongs to no cluster yet"),
        "{answer}"
    );
}

/// In one thread, so that the log of this test holds both sides and nothing else.
#[tokio::test(flavor = "current_thread")]
async fn a_refusal_is_logged_once_by_each_side() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let server = Served::start(|addr| options(2, addr)).await;
    let stranger = Connections::new(&of_cluster(options(1, nowhere()), 0xbad));
    for _ in 0..3 {
        told(&server, &stranger).await;
    }
    let text = String::from_utf8(log.0.lock().clone()).unwrap();
    let lines_with = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines_with("a call of another node is refused"), 1, "{text}");
    assert_eq!(
        lines_with("another node refuses to talk to this one"),
        1,
        "{text}"
    );
    assert_eq!(lines_with(&uuid(0xbad)), 2, "{text}");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn uuid(id: u128) -> String {
    uuid::Uuid::from_u128(id).to_string()
}
