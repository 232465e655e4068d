//! The README's operations through each of three nodes in turn, watched on another one.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crate::turns;
use rstmdb_jepsen::cli::{self, Cli};
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long an event may take to be printed.
const EVENT_TIMEOUT: Duration = Duration::from_secs(20);

/// `rstmdb-cli watch-all`, running.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn start(cli: &Cli, from_offset: u64) -> Self {
        let from = from_offset.to_string();
        let args = ["watch-all", "--machines", "order", "--from-offset", &from];
        let mut child = cli.spawn(&args).unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The first events that the watch prints, this many. Then it gets Ctrl-C, after which it must print none.
    fn finish(self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        for _ in 0..count {
            let line = self.lines.recv_timeout(EVENT_TIMEOUT).unwrap();
            events.push(serde_json::from_str(&line).unwrap());
        }
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let ended = cli::wait(self.child).unwrap();
        assert_eq!(ended.code, Some(0), "after Ctrl-C: {ended:?}");
        assert_eq!(self.lines.iter().collect::<Vec<_>>(), [""; 0]);
        events
    }
}

/// An order as in the README; gives the offset of each event that happened.
fn order(cli: &Cli, id: &str) -> Vec<(String, u64)> {
    let create = ["create-instance", "-m", "order", "-V", "1", "-i", id, "-c"];
    let created = cli
        .json(&[&create[..], &[r#"{"total": 42}"#]].concat())
        .unwrap();
    assert_eq!(created["state"], "CREATED");
    let apply = |event: &str, payload: &[&str], leads: [&str; 2]| {
        let args = [&["apply-event", "-i", id, "-e", event], payload].concat();
        let applied = cli.json(&args).unwrap();
        assert_eq!(applied["from_state"], leads[0]);
        assert_eq!(applied["to_state"], leads[1]);
        (event.to_owned(), applied["wal_offset"].as_u64().unwrap())
    };
    let paid = apply("PAY", &["-p", r#"{"method": "card"}"#], ["CREATED", "PAID"]);
    let refused = cli.run(&["apply-event", "-i", id, "-e", "SHIP"]).unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("GUARD_FAILED"), "{refused:?}");
    assert!(refused.err.contains("ctx.packed"), "{refused:?}");
    let packed = apply("PACK", &["-p", r#"{"packed": true}"#], ["PAID", "PAID"]);
    let shipped = apply("SHIP", &[], ["PAID", "SHIPPED"]);
    vec![paid, packed, shipped]
}

#[test]
fn the_tour_works_through_each_node_and_its_watch_sees_it_on_another() {
    let _turn = turns::light();
    let cluster = Cluster::start(3, &NodeConfig::for_tests()).unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/order.json");
    let definition = format!("@{}", example.display());
    let mut digests = HashMap::new();
    for via in cluster.ids() {
        let cli = cluster.cli(via).unwrap();
        let put = ["put-machine", "-n", "order", "-v", "1", &definition];
        let put = cli.json(&put).unwrap();
        assert_eq!(put["created"], json!(via == 1), "through node {via}");

        let elsewhere = via % 3 + 1;
        let from = cluster.info(elsewhere).unwrap()["last_applied"].as_u64();
        let watch = Watch::start(&cluster.cli(elsewhere).unwrap(), from.unwrap() + 1);
        let id = format!("order-{via}");
        let expected = order(&cli, &id);
        for event in watch.finish(expected.len()).iter().zip(&expected) {
            let (event, (name, offset)) = event;
            assert_eq!(event["instance_id"], id);
            assert_eq!(
                (&event["event"], &event["wal_offset"]),
                (&json!(name), &json!(offset))
            );
        }
        // Written through one node, read through every other, at once.
        for other in cluster.ids() {
            let found = cluster
                .cli(other)
                .unwrap()
                .json(&["get-instance", &id])
                .unwrap();
            assert_eq!(found["state"], "SHIPPED", "{id} at node {other}");
            assert_eq!(found["last_wal_offset"], expected[2].1);
        }
        let converged = cluster.wait_converged().unwrap();
        digests.insert(via, converged.digest);
    }
    let status = cluster
        .cli(2)
        .unwrap()
        .json(&["cluster", "status"])
        .unwrap();
    assert_eq!(
        status["nodes"].as_array().map(Vec::len),
        Some(3),
        "{status}"
    );
    println!("cluster_tour: three orders through three nodes; digests {digests:?}");
}
