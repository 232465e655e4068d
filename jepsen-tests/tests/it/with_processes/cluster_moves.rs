//! Members whose addresses change, and a node that grows into a cluster.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::turns;
use rstmdb_jepsen::audit;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::cluster::{Cluster, SETTLE_TIMEOUT};
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::load::pipelines::Pipelines;
use rstmdb_jepsen::ports;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::raw::RawConnection;
use rstmdb_jepsen::steady::Steady;
use serde_json::Value;

const WRITERS: usize = 2;
/// How long a starting node may take to find the leader and announce itself, until the entry has reached every node.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(20);

/// The members as one of them reports them: id, peer address, client address.
fn places(cli: &Cli) -> Result<Vec<(u64, String, String)>, String> {
    let status = cli.json(&["cluster", "status", "--json"]);
    let status = status.map_err(|error| error.to_string())?;
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let text = |node: &Value, key: &str| node[key].as_str().unwrap_or_default().to_owned();
    let place = |node: &Value| {
        let id = node["node_id"].as_u64().unwrap_or_default();
        (id, text(node, "peer_addr"), text(node, "rcp_addr"))
    };
    Ok(nodes.iter().map(place).collect())
}

/// Waits until every member reports each member at the addresses of that member's configuration.
fn wait_for_places(cluster: &Cluster, ids: &[u64]) {
    wait_for_places_on(cluster, ids, ids);
}

/// Waits until each of `asked` reports each of `ids` at the addresses of that member's configuration.
fn wait_for_places_on(cluster: &Cluster, asked: &[u64], ids: &[u64]) {
    let wanted: Vec<(u64, String, String)> = ids
        .iter()
        .map(|id| {
            let [peer, rcp] = cluster.addresses(*id).unwrap();
            (*id, peer.to_string(), rcp.to_string())
        })
        .collect();
    within(ANNOUNCE_TIMEOUT, || {
        for id in asked {
            let found = places(&Cli::new(cluster.addr(*id).unwrap()))?;
            if found != wanted {
                return Err(format!("node {id} says {found:?}, not {wanted:?}"));
            }
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_cluster_whose_members_have_all_moved_at_once_goes_on_with_all_it_had() {
    let _turn = turns::heavy();
    let ids = [1, 2, 3];
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let workload = Pipelines::prepare(&cluster.addrs_from(1)).unwrap();
    let steady = Steady::start(&cluster.addrs_from(1), WRITERS);
    steady.next_success(Instant::now()).unwrap();
    let before = steady.finish().unwrap();
    assert_eq!(before.errors, [""; 0]);
    for id in ids {
        cluster.stop(id).unwrap();
    }
    cluster.relocate(&ids, &ids).unwrap();
    for id in ids {
        cluster.launch(id).unwrap();
    }
    for id in ids {
        cluster.wait_ready(id).unwrap();
    }
    wait_for_places(&cluster, &ids);
    let steady = Steady::start(&cluster.addrs_from(1), WRITERS);
    steady.next_success(Instant::now()).unwrap();
    let after = steady.finish().unwrap();
    assert_eq!(after.errors, [""; 0]);
    let written = before.ledgers.into_iter().chain(after.ledgers);
    let ledgers: Vec<_> = written.chain([workload.preparation]).collect();
    let audit = audit::cluster(&cluster, &ledgers).unwrap();
    assert_eq!(audit.violations, [""; 0], "the nodes and the ledgers");
}

#[test]
fn one_member_moves_by_itself_and_another_by_command_under_load() {
    let _turn = turns::heavy();
    let ids = [1, 2, 3];
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let followers = cluster.followers().unwrap();
    let leader = cluster.leader().unwrap();
    let workload = Pipelines::prepare(&cluster.addrs_from(1)).unwrap();
    let steady = Steady::start(&[cluster.addr(leader).unwrap()], WRITERS);
    steady.next_success(Instant::now()).unwrap();

    // By itself: only its own configuration has changed.
    cluster.stop(followers[0]).unwrap();
    cluster.relocate(&followers[..1], &followers[..1]).unwrap();
    cluster.restart(followers[0]).unwrap();
    wait_for_places(&cluster, &ids);

    // The operator's command gives the new address: the node is down and has not read its new configuration yet.
    let moved = followers[1];
    cluster.stop(moved).unwrap();
    cluster.relocate(&[moved], &[moved]).unwrap();
    let [peer, rcp] = cluster.addresses(moved).unwrap();
    let cli = Cli::new(cluster.addr(leader).unwrap());
    let id = moved.to_string();
    let set = [
        "cluster",
        "set-address",
        &id,
        &peer.to_string(),
        &rcp.to_string(),
    ];
    let done = cli.run(&set).unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    let [taken, _] = cluster.addresses(leader).unwrap();
    let refused = cli.run(&[
        "cluster",
        "set-address",
        &id,
        &taken.to_string(),
        &rcp.to_string(),
    ]);
    let refused = refused.unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains(&format!("node {leader} is at")),
        "{refused:?}"
    );
    cluster.restart(moved).unwrap();
    wait_for_places(&cluster, &ids);

    let mut written = steady.finish().unwrap();
    assert_eq!(written.errors, [""; 0], "keyed calls of the client library");
    written.ledgers.push(workload.preparation);
    let audit = audit::cluster(&cluster, &written.ledgers).unwrap();
    assert_eq!(audit.violations, [""; 0], "the nodes and the ledgers");
}

/// Whether each of the two has the old address of the other one: as after a restart of containers.
#[test]
fn two_members_that_have_swapped_their_addresses_find_each_other() {
    let _turn = turns::heavy();
    let ids = [1, 2, 3];
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let workload = Pipelines::prepare(&cluster.addrs_from(1)).unwrap();
    let mut ledgers = vec![workload.preparation];
    for with_leader in [false, true] {
        let followers = cluster.followers().unwrap();
        let other = match with_leader {
            true => cluster.leader().unwrap(),
            false => followers[1],
        };
        for id in [followers[0], other] {
            cluster.stop(id).unwrap();
        }
        cluster.swap(followers[0], other).unwrap();
        for id in [followers[0], other] {
            cluster.launch(id).unwrap();
        }
        for id in ids {
            cluster.wait_ready(id).unwrap();
        }
        wait_for_places(&cluster, &ids);
        let steady = Steady::start(&cluster.addrs_from(1), WRITERS);
        steady.next_success(Instant::now()).unwrap();
        let written = steady.finish().unwrap();
        assert_eq!(written.errors, [""; 0]);
        ledgers.extend(written.ledgers);
    }
    let audit = audit::cluster(&cluster, &ledgers).unwrap();
    assert_eq!(audit.violations, [""; 0], "the nodes and the ledgers");
}

/// One node is down, and the other one knows only the old address of the one that has moved. So the moved node is the
/// only one that can win an election, and it has to write its own address into the log.
#[test]
fn a_moved_node_that_alone_can_lead_brings_its_own_address_into_force() {
    let _turn = turns::heavy();
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let workload = Pipelines::prepare(&cluster.addrs_from(1)).unwrap();
    let steady = Steady::start(&cluster.addrs_from(1), WRITERS);
    steady.next_success(Instant::now()).unwrap();
    let before = steady.finish().unwrap();
    cluster.stop(1).unwrap();
    cluster.stop(2).unwrap();
    cluster.relocate(&[2], &[2]).unwrap();
    cluster.restart(2).unwrap();
    wait_for_places_on(&cluster, &[2, 3], &[1, 2, 3]);
    let steady = Steady::start(&[cluster.addr(3).unwrap()], WRITERS);
    steady.next_success(Instant::now()).unwrap();
    let after = steady.finish().unwrap();
    assert_eq!(after.errors, [""; 0]);
    cluster.restart(1).unwrap();
    wait_for_places(&cluster, &[1, 2, 3]);
    let written = before.ledgers.into_iter().chain(after.ledgers);
    let ledgers: Vec<_> = written.chain([workload.preparation]).collect();
    let audit = audit::cluster(&cluster, &ledgers).unwrap();
    assert_eq!(audit.violations, [""; 0], "the nodes and the ledgers");
}

/// A copy of a member's folder, started by mistake beside the member, is not the member.
#[test]
fn a_copy_of_a_member_does_not_take_its_address() {
    let _turn = turns::heavy();
    let mut cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let copied = cluster.followers().unwrap()[0];
    let leader = cluster.leader().unwrap();
    cluster.stop(copied).unwrap();
    let [peer, _] = cluster.addresses(leader).unwrap();
    let config = NodeConfig::for_tests()
        .with("cluster.name", "tests")
        .with("cluster.node_id", &copied.to_string())
        .with(
            "cluster.bind_addr",
            &format!("127.0.0.1:{}", ports::free().unwrap()),
        )
        .with("cluster.join", &format!("[\"{peer}\"]"));
    let mut copy = Node::prepare(&config).unwrap();
    let from = cluster.node(copied).unwrap().data_dir();
    let copying = Command::new("cp")
        .arg("-r")
        .args([from, copy.data_dir()])
        .status();
    assert!(copying.unwrap().success());
    cluster.restart(copied).unwrap();
    copy.launch().unwrap();
    within(ANNOUNCE_TIMEOUT, || match copy.log_text() {
        log if log.contains("two processes run under its id") => Ok(()),
        log => Err(log),
    })
    .unwrap();
    wait_for_places(&cluster, &[1, 2, 3]);
    for id in cluster.ids() {
        assert!(!cluster.has_ended(id).unwrap(), "node {id}");
    }
    drop(copy);
    assert!(
        cluster
            .stop_all()
            .unwrap()
            .iter()
            .all(|(_, status)| status.success())
    );
}

#[test]
fn a_node_that_was_started_with_the_defaults_grows_to_three() {
    let _turn = turns::heavy();
    let mut first = Node::start(&NodeConfig::for_tests()).unwrap();
    let cli = Cli::new(first.addr());
    let machine =
        r#"{"states":["a","b"],"initial":"a","transitions":[{"from":"a","event":"GO","to":"b"}]}"#;
    let put = cli.run(&["put-machine", "-n", "m", "-v", "1", machine]);
    assert_eq!(put.unwrap().code, Some(0));
    let create = [
        "create-instance",
        "-m",
        "m",
        "-V",
        "1",
        "-i",
        "before",
        "--json",
    ];
    let by_hand = cli.json(&create).unwrap()["wal_offset"].clone();
    // Another start: now it listens to peers.
    first.stop().unwrap();
    let peer = format!("127.0.0.1:{}", ports::free().unwrap());
    let rcp_port = first.addr().port();
    let config = NodeConfig::for_tests().with("cluster.bind_addr", &peer);
    first.reconfigure(rcp_port, &config).unwrap();
    first.restart().unwrap();
    let workload = Pipelines::prepare(&[first.addr()]).unwrap();
    let steady = Steady::start(&[first.addr()], WRITERS);
    steady.next_success(Instant::now()).unwrap();
    let mut joined = Vec::new();
    for id in [2, 3] {
        let at = format!("127.0.0.1:{}", ports::free().unwrap());
        let config = NodeConfig::for_tests()
            .with("cluster.node_id", &id.to_string())
            .with("cluster.bind_addr", &at)
            .with("cluster.join", &format!("[\"{peer}\"]"));
        joined.push(Node::spawn(&config).unwrap());
        let added = within(SETTLE_TIMEOUT, || {
            let added = cli.run(&["cluster", "add", &at]);
            let added = added.map_err(|error| error.to_string())?;
            match added.code {
                Some(0) => Ok(()),
                _ => Err(added.err),
            }
        });
        added.unwrap();
    }
    steady.next_success(Instant::now()).unwrap();
    let mut written = steady.finish().unwrap();
    assert_eq!(written.errors, [""; 0], "calls while the cluster grew");
    written.ledgers.push(workload.preparation);
    // The last node to come has all that the first one acknowledged meanwhile.
    let mut connection = RawConnection::connect(joined[1].addr()).unwrap();
    let mut verdict = audit::read_log(&mut connection, &written.ledgers).unwrap();
    let is_by_hand = |found: &String| found.starts_with(&format!("offset {by_hand}:"));
    verdict.violations.retain(|found| !is_by_hand(found));
    assert_eq!(verdict.violations, [""; 0]);
    let third = Cli::new(joined[1].addr());
    let done = third
        .run(&["apply-event", "-i", "before", "-e", "GO"])
        .unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    let places = places(&third).unwrap();
    assert_eq!(places.len(), 3, "{places:?}");
    assert_eq!(places[0].1, peer, "{places:?}");
    // It is a cluster now, which works without the node that it began with.
    first.kill().unwrap();
    let read = within(SETTLE_TIMEOUT, || {
        let read = third.json(&["get-instance", "before", "--json"]);
        read.map_err(|error| error.to_string())
    });
    assert_eq!(read.unwrap()["state"], "b");
}

#[test]
fn fresh_nodes_form_no_second_cluster_beside_a_listed_node_that_reads_its_log() {
    let _turn = turns::light();
    let free = || ports::free().unwrap();
    let places: Vec<(u64, u16, u16)> = (1..=3).map(|id| (id, free(), free())).collect();
    let item = |(id, peer, rcp): &(u64, u16, u16)| {
        format!(r#"{{id: {id}, peer_addr: "127.0.0.1:{peer}", rcp_addr: "127.0.0.1:{rcp}"}}"#)
    };
    let all: Vec<String> = places.iter().map(item).collect();
    let config = |at: usize, listed: &[String]| {
        let (id, peer, _) = places[at];
        NodeConfig::for_tests()
            .with("cluster.node_id", &id.to_string())
            .with("cluster.bind_addr", &format!("127.0.0.1:{peer}"))
            .with("cluster.peers", &format!("[{}]", listed.join(", ")))
    };
    let prepare = |at: usize, listed: &[String]| {
        let (id, _, rcp) = places[at];
        Node::prepare_as(&format!("node {id}"), rcp, &config(at, listed)).unwrap()
    };
    let mut old = prepare(0, &all[..1]);
    old.restart().unwrap();
    let machine = r#"{"states":["a"],"initial":"a","transitions":[]}"#;
    let put = ["put-machine", "-n", "m", "-v", "1", machine];
    assert_eq!(Cli::new(old.addr()).run(&put).unwrap().code, Some(0));
    old.stop().unwrap();

    // The node's log names a cluster of one node, but the list in its configuration names three.
    old.reconfigure(places[0].2, &config(0, &all)).unwrap();
    let mut fresh = [prepare(1, &all), prepare(2, &all)];
    for node in &mut fresh {
        node.launch().unwrap();
    }
    old.restart().unwrap();
    for node in &mut fresh {
        let status = node.wait_exit(ANNOUNCE_TIMEOUT).unwrap();
        assert!(!status.success());
        assert!(
            node.log_text().contains("not a member of"),
            "{}",
            node.log_tail()
        );
    }
    let machines = Cli::new(old.addr())
        .json(&["list-machines", "--json"])
        .unwrap();
    assert_eq!(machines["items"][0]["machine"], "m");
}
