//! An import while the leader and the import itself are killed, and one through a follower: every row becomes one
//! instance, with its state and its times.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::turns;
use rstmdb_jepsen::binaries;
use rstmdb_jepsen::cli;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;

const TOKEN: &str = "importer";
/// SHA-256 of it.
const TOKEN_HASH: &str = "2c98ae936632f83b63bb0c981dfc193cfa9cd476868b2caf16896333ec1968f7";
/// So few that the import takes seconds, in which leaders can be killed.
const IN_FLIGHT: &str = "8";
const PATIENCE: Duration = Duration::from_secs(120);
const STATES: [&str; 3] = ["NEW", "PAID", "SHIPPED"];
/// When the first row was created.
const FIRST_MS: u64 = 1_700_000_000_000;
const DEFINITION: &str = r#"{"states":["NEW","PAID","SHIPPED"],"initial":"NEW","transitions":[
    {"from":"NEW","event":"PAY","to":"PAID"},{"from":"PAID","event":"SHIP","to":"SHIPPED"}]}"#;

struct Importing {
    cluster: Cluster,
    folder: tempfile::TempDir,
    rows: u64,
}

/// What a row says, and what its instance must have.
fn row(number: u64) -> (String, &'static str, u64, u64) {
    let state = STATES[usize::try_from(number % 3).unwrap()];
    let created = FIRST_MS + number * 1_000;
    (format!("order-{number:05}"), state, created, created + 500)
}

impl Importing {
    fn begin(rows: u64) -> Self {
        let config =
            NodeConfig::for_tests().with("auth.import_token_hashes", &format!("[{TOKEN_HASH}]"));
        let cluster = Cluster::start(3, &config).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut text = "id,status,total,created_at,updated_at\n".to_owned();
        for number in 0..rows {
            let (id, state, created, updated) = row(number);
            writeln!(text, "{id},{state},{number},{created},{updated}").unwrap();
        }
        std::fs::write(folder.path().join("rows.csv"), text).unwrap();
        let leader = cluster.leader().unwrap();
        let put = json!({"machine": "order", "version": 1,
            "definition": rstmdb_rcp::json::value(DEFINITION).unwrap()});
        let mut connection = cluster.connect(leader).unwrap();
        connection.call("PUT_MACHINE", &put).unwrap();
        Self {
            cluster,
            folder,
            rows,
        }
    }

    /// Starts the import, at these servers.
    fn start(&self, servers: &str, more: &[&str]) -> Child {
        let file = self.folder.path().join("rows.csv");
        let file = file.to_str().unwrap();
        let args = [
            "import",
            "order",
            file,
            "--state",
            "status",
            "--type",
            "total=number",
        ];
        let mut command = std::process::Command::new(binaries::cli().unwrap());
        let command = command
            .args(args)
            .args(more)
            .args(["--in-flight", IN_FLIGHT]);
        let command = command
            .env("RSTMDB_SERVER", servers)
            .env("RSTMDB_TOKEN", TOKEN)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    }

    fn every_server(&self) -> String {
        let addrs = self.cluster.addrs_from(1);
        let addrs: Vec<String> = addrs.iter().map(ToString::to_string).collect();
        addrs.join(",")
    }

    /// Waits until so many instances are there, as any node that answers has it.
    fn wait_for(&self, count: u64) {
        let begun = Instant::now();
        loop {
            let total = self.cluster.running().into_iter().find_map(|node| {
                let list = json!({"machine": "order", "limit": 0, "consistency": "local"});
                let mut connection = self.cluster.connect(node).ok()?;
                connection.call("LIST_INSTANCES", &list).ok()?["total"].as_u64()
            });
            if total.is_some_and(|total| total >= count) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{total:?} of {count} instances");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every row is there once, with its state, its times and its context, and the log has created it once.
    fn check(&self) {
        let node = self.cluster.leader().unwrap();
        let mut connection = self.cluster.connect(node).unwrap();
        let mut listed: BTreeMap<String, Value> = BTreeMap::new();
        let mut after = Value::Null;
        loop {
            let mut list = json!({"machine": "order", "limit": 1000});
            if !after.is_null() {
                list["after"] = after;
            }
            let page = connection.call("LIST_INSTANCES", &list).unwrap();
            let items = page["instances"].as_array().unwrap();
            for item in items {
                listed.insert(item["id"].as_str().unwrap().to_owned(), item.clone());
            }
            let Some(last) = items.last().filter(|_| page["has_more"] == true) else {
                break;
            };
            after = last["id"].clone();
        }
        assert_eq!(listed.len() as u64, self.rows);
        for number in 0..self.rows {
            let (id, state, created, updated) = row(number);
            let item = &listed[&id];
            assert_eq!(
                (&item["state"], &item["created_at"], &item["updated_at"]),
                (&json!(state), &json!(created), &json!(updated)),
                "{id}"
            );
        }
        for number in [0, self.rows / 2, self.rows - 1] {
            let get = json!({"instance_id": row(number).0});
            let instance = connection.call("GET_INSTANCE", &get).unwrap();
            assert_eq!(instance["ctx"], json!({"total": number}));
        }
        let mut created = BTreeSet::new();
        let mut from = 1;
        loop {
            let read = json!({"from_offset": from, "limit": 1000});
            let page = connection.call("WAL_READ", &read).unwrap();
            let records = page["records"].as_array().unwrap();
            for record in records {
                let entry = &record["entry"];
                if entry["type"] == "create_instance" {
                    let id = entry["instance_id"].as_str().unwrap().to_owned();
                    assert!(created.insert(id.clone()), "{id} was created twice");
                }
            }
            let next = page["next_offset"].as_u64().unwrap();
            if next <= from {
                break;
            }
            from = next;
        }
        assert_eq!(created.len() as u64, self.rows);
    }
}

fn summary(child: Child) -> Value {
    let ended = cli::wait(child).unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    rstmdb_rcp::json::value(&ended.out).unwrap()
}

fn of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_import_survives_its_leaders_and_itself_and_makes_each_row_once() {
    let _turn = turns::heavy();
    let mut importing = Importing::begin(6_000);
    let servers = importing.every_server();
    let done = of(&importing.folder.path().join("done"));
    let resume = ["--resume", done.as_str()];

    let mut first = importing.start(&servers, &resume);
    importing.wait_for(300);
    let leader = importing.cluster.leader().unwrap();
    importing.cluster.kill(leader).unwrap();
    importing.wait_for(1_500);
    // And the import itself, in the middle of its rows.
    assert_eq!(
        first.try_wait().unwrap(),
        None,
        "the import was over too soon"
    );
    first.kill().unwrap();
    first.wait().unwrap();
    importing.cluster.restart(leader).unwrap();

    let mut second = importing.start(&servers, &resume);
    importing.wait_for(3_000);
    let leader = importing.cluster.leader().unwrap();
    importing.cluster.kill(leader).unwrap();
    assert_eq!(
        second.try_wait().unwrap(),
        None,
        "the import was over too soon"
    );
    let resumed = summary(second);
    assert_eq!(resumed["refused"], 0, "{resumed}");
    importing.cluster.restart(leader).unwrap();
    importing.check();

    // From the beginning again it changes nothing.
    let again = summary(importing.start(&servers, &[]));
    assert_eq!(
        (&again["imported"], &again["unchanged"], &again["refused"]),
        (&json!(0), &json!(importing.rows), &json!(0)),
        "{again}"
    );
    importing.check();
}

#[test]
fn an_import_through_a_follower_makes_each_row_once() {
    let _turn = turns::light();
    let importing = Importing::begin(1_000);
    let leader = importing.cluster.leader().unwrap();
    let follower = importing
        .cluster
        .ids()
        .into_iter()
        .find(|id| *id != leader)
        .unwrap();
    let address = importing.cluster.addr(follower).unwrap().to_string();
    let imported = summary(importing.start(&address, &[]));
    assert_eq!(
        (&imported["imported"], &imported["refused"]),
        (&json!(1_000), &json!(0)),
        "{imported}"
    );
    importing.check();
    // Without the right there is one error, before anything is written.
    let mut refused = std::process::Command::new(binaries::cli().unwrap());
    let file = of(&importing.folder.path().join("rows.csv"));
    let refused = refused
        .args(["import", "order", &file, "--state", "status"])
        .env("RSTMDB_SERVER", &address)
        .env_remove("RSTMDB_TOKEN")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("FORBIDDEN"),
        "{refused:?}"
    );
}
