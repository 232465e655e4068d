//! Connections break and heal, and a node that hangs does not affect the others.

use std::time::Duration;

use tokio::net::TcpListener;

use super::fake::Fake;
use super::support::{PATIENCE, Served, client, nowhere, options, peer};
use crate::replica::{LeaderChange, PeerError, Peers};
use crate::server::peer::Connections;

const CHANGE: LeaderChange = LeaderChange::Promote { node_id: 7 };

#[tokio::test]
async fn a_node_that_hangs_does_not_hold_up_calls_to_another() {
    // The operating system accepts the connections, but no byte ever comes.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_addr = silent.local_addr().unwrap();
    let healthy = peer(2, Fake::node(2).serve().await);
    let caller = client(1);

    let hanging = peer(3, silent_addr);
    let hanging = tokio::spawn(caller.report(&hanging));
    for _ in 0..50 {
        caller.change(&healthy, &CHANGE).await.unwrap().unwrap();
    }
    assert!(
        !hanging.is_finished(),
        "the calls waited for the one that hangs"
    );
    let answer = hanging.await.unwrap();
    assert!(
        matches!(answer, Err(PeerError::Unreachable(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_stream_to_a_node_that_hangs_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging = peer(3, silent.local_addr().unwrap());
    let mut options = options(1, nowhere());
    options.silence_timeout = Duration::from_millis(100);
    let caller = Connections::new(&options);
    let stream = caller.forward(&hanging).await;
    assert!(matches!(stream, Err(PeerError::Unreachable(_))));
    let history = caller.history(&hanging, 5).await;
    assert!(matches!(history, Err(PeerError::Unreachable(_))));
}

#[tokio::test]
async fn a_server_that_comes_back_on_its_port_is_found_again() {
    let server = Served::start(|addr| options(2, addr)).await;
    let target = server.peer(2);
    let caller = client(1);
    // The process runs, but without a replica, so the server itself answers.
    let is_up = |answer: Result<_, PeerError>| {
        let said = answer.map(drop).unwrap_err().to_string();
        said.contains("this node is starting")
    };
    assert!(is_up(caller.report(&target).await));

    let addr = server.addr;
    server.stop().await;
    assert!(!is_up(caller.report(&target).await));

    let listener = TcpListener::bind(addr).await.unwrap();
    let again = Served::on(listener, |addr| options(2, addr));
    let mut found = false;
    for _ in 0..100 {
        found = is_up(caller.report(&target).await);
        if found {
            break;
        }
    }
    assert!(found, "the server was not found again");
    again.stop().await;
}

#[tokio::test]
async fn a_node_that_moves_is_called_at_its_new_address() {
    let caller = client(1);
    let before = peer(2, Fake::node(2).serve().await);
    caller.change(&before, &CHANGE).await.unwrap().unwrap();
    let after = peer(2, Fake::node(2).serve().await);
    assert_ne!(before, after);
    caller.change(&after, &CHANGE).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_ends_although_connections_are_open() {
    let server = Served::start(|addr| options(2, addr)).await;
    let caller = client(1);
    assert!(caller.report(&server.peer(2)).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_protocol_close_their_connection_and_nothing_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Served::start(|addr| options(2, addr)).await;
    let mut stream = tokio::net::TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&[0xff; 4096]).await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest));
    // Ended or reset: either way it is closed.
    let _ = closed.await.expect("the connection is closed");

    let answer = client(1).report(&server.peer(2)).await.unwrap_err();
    assert!(
        answer.to_string().contains("this node is starting"),
        "{answer}"
    );
}
