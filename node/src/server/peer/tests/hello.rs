//! The first exchange.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fake::Fake;
use super::support::{CLUSTER, Met, Served, client, incarnation, nowhere, options, options_with};
use crate::replica::{PeerError, Peers};
use crate::server::peer::{Connections, HelloAnswer};

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_no_call_is_taken_is_closed() {
    let server = Served::start(|addr| options(1, addr)).await;
    let begun = tokio::time::Instant::now();
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    let mut half = TcpStream::connect(server.addr).await.unwrap();
    half.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    for stream in [&mut silent, &mut half] {
        let mut ignored = [0; 64];
        while stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    }
    assert!(begun.elapsed() <= Duration::from_secs(11));
    server.stop().await;
}

#[tokio::test]
async fn a_node_that_belongs_to_no_cluster_yet_learns_who_is_there() {
    let met = Met::with(&[(2, 99)]);
    let server = Served::start(|addr| options_with(1, addr, &met)).await;
    let mut options = options(2, nowhere());
    options.local.cluster_id = Arc::new(OnceLock::new());
    let fresh = Connections::new(&options);

    let answer = fresh.hello(&server.addr.to_string()).await.unwrap();
    let expected = HelloAnswer {
        listed: String::new(),
        members: Vec::new(),
        membership: Default::default(),
        node_id: 1,
        incarnation: incarnation(1),
        cluster_name: "test".to_owned(),
        cluster_id: Some(CLUSTER),
        peer_addr: server.addr.to_string(),
        rcp_addr: "rcp-1:7401".to_owned(),
        formed: false,
        opening: false,
        understands: 2,
        recorded_incarnation: Some(99),
    };
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_node_that_reads_its_log_says_that_it_cannot_tell_who_belongs_to_its_cluster() {
    let server = Served::start(|addr| options(1, addr)).await;
    server.server.set_opening(true);
    let addr = server.addr.to_string();
    assert!(client(2).hello(&addr).await.unwrap().opening);
    server.server.set_opening(false);
    assert!(!client(2).hello(&addr).await.unwrap().opening);
}

#[tokio::test]
async fn a_node_that_was_never_met_and_has_no_cluster_says_so() {
    let server = Served::start(|addr| {
        let mut options = options(1, addr);
        options.local.cluster_id = Arc::new(OnceLock::new());
        options
    })
    .await;
    let answer = client(2).hello(&server.addr.to_string()).await.unwrap();
    assert_eq!(answer.cluster_id, None);
    assert_eq!(answer.recorded_incarnation, None);
}

#[tokio::test]
async fn an_operator_reads_why_a_node_cannot_be_reached() {
    let error = client(2).hello(&nowhere().to_string()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot be reached: connection refused");
}

#[tokio::test]
async fn an_address_where_nobody_listens_or_that_is_none_is_unreachable() {
    for addr in [
        nowhere().to_string(),
        "no address".to_owned(),
        String::new(),
    ] {
        let answer = client(2).hello(&addr).await;
        assert!(
            matches!(answer, Err(PeerError::Unreachable(_))),
            "{addr:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn another_major_version_is_refused_in_the_first_exchange() {
    // A node of 2 forwards commands in another form.
    for protocol in ["2.0", "4.0"] {
        let other = Fake {
            protocol,
            ..Fake::node(1)
        };
        let addr = other.serve().await;
        let refused = client(2).hello(&addr.to_string()).await.unwrap_err();
        assert!(matches!(refused, PeerError::Refused(_)), "{refused:?}");
        let text = refused.to_string();
        let says = format!("node 1 speaks version {protocol} of the protocol between nodes");
        assert!(
            text.contains(&says) && text.contains("node 2 speaks 3.0"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn another_minor_version_is_welcome() {
    let newer = Fake {
        protocol: "3.7",
        ..Fake::node(1)
    };
    let addr = newer.serve().await;
    assert_eq!(client(2).hello(&addr.to_string()).await.unwrap().node_id, 1);
}

#[tokio::test]
async fn a_node_is_introduced_under_its_own_addresses() {
    let server = Served::start(|addr| options(4, addr)).await;
    let found = client(1).introduce(&server.addr.to_string()).await.unwrap();
    assert_eq!(found, server.peer(4));
}

#[tokio::test]
async fn a_node_that_may_not_be_added_is_not_introduced() {
    let met = Met::with(&[(4, 99)]);
    let ours = Connections::new(&options_with(1, nowhere(), &met));

    let own_id = Served::start(|addr| options(1, addr)).await;
    let stranger = Served::start(|addr| {
        let mut options = options(5, addr);
        options.local.cluster_id = Arc::new(OnceLock::from(CLUSTER + 1));
        options
    })
    .await;
    let misnamed = Served::start(|addr| {
        let mut options = options(5, addr);
        options.local.cluster_name = "other".to_owned();
        options
    })
    .await;
    let emptied = Served::start(|addr| options(4, addr)).await;

    for (server, why) in [
        (own_id, "id of this node"),
        (stranger, "belongs to another cluster"),
        (misnamed, "cluster.name"),
        (emptied, "another data folder"),
    ] {
        let refused = ours.introduce(&server.addr.to_string()).await.unwrap_err();
        assert!(matches!(refused, PeerError::Refused(_)), "{refused:?}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
}
