//! Tokens that the operator withdraws while the node runs, and a port for nodes that any program could use.

use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::{RawConnection, RawMessage};
use rustix::process::Signal;
use serde_json::{Value, json};

/// SHA-256 of the tokens `one` and `two`.
const ONE: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
const TWO: &str = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
/// How long the node may take to read its files.
const SAID_TIMEOUT: Duration = Duration::from_secs(10);

fn token(token: &str) -> Value {
    json!({ "method": "bearer", "token": token })
}

fn bearing(node: &Node, bearer: &str) -> RawConnection {
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    connection.call("AUTH", &token(bearer)).unwrap();
    connection
}

fn wait_for_log(node: &Node, said: &str) {
    let begun = Instant::now();
    while !node.log_text().contains(said) {
        assert!(begun.elapsed() < SAID_TIMEOUT, "{}", node.log_tail());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn sighup_takes_tokens_back_and_a_broken_file_changes_nothing() {
    let _turn = turns::light();
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("tokens");
    std::fs::write(&secrets, format!("{ONE}\n{TWO}\n")).unwrap();
    let config = NodeConfig::for_tests().with("auth.secrets_file", &secrets.display().to_string());
    let mut node = Node::start(&config).unwrap();
    let mut taken_back = bearing(&node, "one");
    taken_back.call("WATCH_ALL", &json!({})).unwrap();
    let mut kept = bearing(&node, "two");

    std::fs::write(&secrets, "no hash\n").unwrap();
    node.signal(Signal::HUP).unwrap();
    wait_for_log(&node, "the node keeps the");
    bearing(&node, "one");

    std::fs::write(&secrets, format!("{TWO}\n")).unwrap();
    node.signal(Signal::HUP).unwrap();
    match taken_back.receive().unwrap() {
        RawMessage::End(end) => assert_eq!(end["error"]["code"], "UNAUTHORIZED", "{end}"),
        other => panic!("{other:?}"),
    }
    let refusals = taken_back.refusals_until_closed().unwrap();
    assert_eq!(refusals, [(String::new(), "UNAUTHORIZED".to_owned())]);
    kept.call("PING", &json!({})).unwrap();
    let mut late = RawConnection::connect(node.addr()).unwrap();
    assert!(late.call("AUTH", &token("one")).is_err());
    let (status, _) = node.stop().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn a_port_at_which_everyone_could_be_a_node_is_not_opened() {
    let _turn = turns::light();
    let own = r#"[{id: 1, peer_addr: "127.0.0.1:7402", rcp_addr: "127.0.0.1:7401"}]"#;
    let config = NodeConfig::for_tests()
        .with("cluster.node_id", "1")
        .with("cluster.bind_addr", "0.0.0.0:0")
        .with("cluster.peers", own);
    let node = Node::prepare(&config).unwrap();
    let refused = node.command().unwrap().output().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    for part in [
        "cluster.secret_file",
        "openssl rand",
        "cluster.tls",
        "cluster.insecure: true",
    ] {
        assert!(said.contains(part), "{said}");
    }
}
