//! Encryption at rest, as an operator uses it. Nothing that users write is readable in the data folder. The node
//! refuses a wrong or missing key and names its id. A new key takes over on command.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::turns;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::cluster::Cluster;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::{Node, server_command};
use rstmdb_jepsen::process::program::run;
use rstmdb_jepsen::raw::RawConnection;
use serde_json::json;
use tempfile::TempDir;

/// In names, contexts and payloads.
const MARKS: [&str; 4] = [
    "harvest-moon",
    "winter-palace",
    "copper-lantern",
    "silent-orchard",
];

/// A key file as an operator keeps it, beside the data folder.
struct KeyFile(TempDir);

impl KeyFile {
    fn new(ids: &[u32]) -> Self {
        let file = KeyFile(tempfile::tempdir().unwrap());
        file.write(ids);
        file
    }

    fn write(&self, ids: &[u32]) {
        let mut text = String::from("# id, key\n");
        for id in ids {
            writeln!(text, "{id} {}", format!("{:02x}", 0x40 + id).repeat(32)).unwrap();
        }
        std::fs::write(self.path(), text).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    fn config(&self) -> NodeConfig {
        let path = self.path().display().to_string();
        NodeConfig::for_tests().with("storage.encryption_key_file", &path)
    }
}

/// An instance with every mark in it, and an event that carries one.
fn write(connection: &mut RawConnection, id: u32) {
    let machine = json!({"machine": MARKS[0], "version": 1, "definition": {
        "states": ["new", "paid"], "initial": "new",
        "transitions": [{"from": "new", "event": MARKS[1], "to": "paid"}]}});
    connection.call("PUT_MACHINE", &machine).unwrap();
    let id = format!("{}-{id}", MARKS[2]);
    let instance = json!({"machine": MARKS[0], "version": 1, "instance_id": id,
        "initial_ctx": {"note": MARKS[3].repeat(40)}});
    connection.call("CREATE_INSTANCE", &instance).unwrap();
    let event = json!({"instance_id": id, "event": MARKS[1], "payload": {"note": MARKS[3]}});
    connection.call("APPLY_EVENT", &event).unwrap();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// The files in which any mark stands.
fn telling(dir: &Path) -> Vec<PathBuf> {
    let shows = |path: &PathBuf| {
        let content = std::fs::read(path).unwrap();
        let mut marks = MARKS.iter().map(|mark| mark.as_bytes());
        marks.any(|mark| content.windows(mark.len()).any(|window| window == mark))
    };
    files(dir).into_iter().filter(shows).collect()
}

/// The node does not start, and its message has all of these texts.
fn refuses(node: &Node, says: &[&str]) {
    let ended = run(&mut node.command().unwrap()).unwrap();
    ended.as_refusal(says).unwrap();
}

fn paid(connection: &mut RawConnection) -> u64 {
    let filter = json!({"state": "paid", "limit": 1});
    let listed = connection.call("LIST_INSTANCES", &filter).unwrap();
    listed["total"].as_u64().unwrap()
}

#[test]
fn the_folder_tells_nothing_and_opens_with_the_right_keys_only() {
    let _turn = turns::light();
    let mut plain = Node::start(&NodeConfig::for_tests()).unwrap();
    write(&mut RawConnection::connect(plain.addr()).unwrap(), 0);
    assert!(plain.stop().unwrap().0.success());
    assert!(!telling(&plain.data_dir()).is_empty(), "the test can see");

    let keys = KeyFile::new(&[1]);
    let mut node = Node::start(&keys.config()).unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    (0..200).for_each(|id| write(&mut connection, id));
    let cli = Cli::new(node.addr());
    cli.json(&["compact", "--force"]).unwrap();
    assert!(node.stop().unwrap().0.success());
    assert_eq!(telling(&node.data_dir()), Vec::<PathBuf>::new());

    keys.write(&[2, 3]);
    refuses(&node, &["key 1", "2, 3"]);
    std::fs::write(keys.path(), format!("1 {}\n", "00".repeat(32))).unwrap();
    refuses(&node, &["different key 1"]);
    let mut verify = server_command().unwrap();
    let verified = run(verify.arg("verify").arg("--data").arg(node.data_dir())).unwrap();
    assert!(!verified.status.success());
    assert!(
        verified.everything().contains("key 1"),
        "{}",
        verified.everything()
    );

    keys.write(&[1]);
    node.restart().unwrap();
    let mut connection = RawConnection::connect(node.addr()).unwrap();
    assert_eq!(paid(&mut connection), 200);
    let wrong = cli.run(&["rotate-key"]).unwrap();
    assert_eq!(wrong.code, Some(0), "the same keys again change nothing");

    keys.write(&[1, 2]);
    let rotated = cli.json(&["rotate-key"]).unwrap();
    assert_eq!(rotated["nodes"][0]["key_id"], 2);
    write(&mut connection, 200);
    assert!(node.stop().unwrap().0.success());
    keys.write(&[2]);
    refuses(&node, &["key 1"]);
    keys.write(&[1, 2]);
    node.restart().unwrap();
    assert_eq!(paid(&mut RawConnection::connect(node.addr()).unwrap()), 201);
}

#[test]
fn rotating_reaches_every_node_of_a_cluster() {
    let _turn = turns::light();
    let keys = KeyFile::new(&[1]);
    let mut cluster = Cluster::start(3, &keys.config()).unwrap();
    let leader = cluster.leader().unwrap();
    let mut connection = cluster.connect(leader).unwrap();
    (0..20).for_each(|id| write(&mut connection, id));
    keys.write(&[1, 2]);
    let rotated = cluster.cli(leader).unwrap().json(&["rotate-key"]).unwrap();
    let nodes = rotated["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    assert!(nodes.iter().all(|node| node["key_id"] == 2), "{rotated}");
    (20..30).for_each(|id| write(&mut connection, id));
    cluster.wait_converged().unwrap();
    // A folder that was in use before can be read neither without the old key nor without the new one.
    for id in cluster.ids() {
        assert!(cluster.stop(id).unwrap().0.success());
        assert_eq!(
            telling(&cluster.node(id).unwrap().data_dir()),
            Vec::<PathBuf>::new()
        );
        for known in [[1].as_slice(), &[2]] {
            keys.write(known);
            let missing = if known == [1] { "key 2" } else { "key 1" };
            refuses(cluster.node(id).unwrap(), &[missing]);
        }
        keys.write(&[1, 2]);
        cluster.restart(id).unwrap();
    }
    cluster.wait_converged().unwrap();
    let mut connection = cluster.connect(leader).unwrap();
    assert_eq!(paid(&mut connection), 30);
}

#[test]
fn a_node_without_keys_has_none_to_rotate() {
    let _turn = turns::light();
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    let refused = Cli::new(node.addr()).run(&["rotate-key"]).unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("storage.encryption_key_file"),
        "{}",
        refused.err
    );
}
