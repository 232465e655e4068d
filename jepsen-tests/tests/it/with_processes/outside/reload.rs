//! The configuration, read again while the node runs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::turns;
use rstmdb_jepsen::binaries;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::harness::wait::within;
use rstmdb_jepsen::ports;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::process::program;
use serde_json::json;

/// How long a node may take to serve.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

const MACHINE: &str = r#"{"states":["a"],"initial":"a","transitions":[]}"#;

/// Writes the file that the node has, with other values of some keys.
fn rewrite(node: &Node, changes: &[(&str, &str)]) {
    let path = node.config_path();
    let mut text = fs::read_to_string(&path).unwrap();
    for (key, value) in changes {
        let (section, name) = key.split_once('.').unwrap();
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{name}:")))
            .map(ToOwned::to_owned);
        text = match line {
            Some(line) => text.replace(&line, &format!("  {name}: {value}")),
            None => text.replace(
                &format!("{section}:\n"),
                &format!("{section}:\n  {name}: {value}\n"),
            ),
        };
    }
    fs::write(path, text).unwrap();
}

#[test]
fn reload_brings_limits_and_the_log_level_into_force_and_names_what_needs_a_restart() {
    let _turn = turns::light();
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    let put = |version: &str| {
        let done = cli.run(&["put-machine", "-n", "m", "-v", version, MACHINE]);
        done.unwrap()
    };
    assert_eq!(put("1").code, Some(0));
    assert_eq!(put("2").code, Some(0));
    let unchanged = cli.json(&["reload", "--json"]).unwrap();
    let result = &unchanged["nodes"][0]["result"];
    assert_eq!(
        result,
        &json!({"applied": [], "files": [], "needs_restart": []})
    );

    rewrite(
        &node,
        &[
            ("storage.max_machine_versions", "2"),
            ("storage.wal_segment_size_mb", "2"),
            ("logging.level", "debug"),
        ],
    );
    let changed = cli.json(&["reload", "--json"]).unwrap();
    let result = &changed["nodes"][0]["result"];
    assert_eq!(
        result,
        &json!({
            "applied": ["storage.max_machine_versions", "logging.level"],
            "files": [],
            "needs_restart": ["storage.wal_segment_size_mb"],
        })
    );
    let refused = put("3");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains("MACHINE_VERSION_LIMIT_EXCEEDED"),
        "{refused:?}"
    );
    assert!(
        node.log_text().contains("\"level\":\"DEBUG\""),
        "{}",
        node.log_tail()
    );
    assert!(
        node.log_text().contains("need a restart"),
        "{}",
        node.log_tail()
    );

    // Each reload names the keys that need a restart, until the node restarts. It names a key that came into force only
    // once.
    let again = cli.json(&["reload", "--json"]).unwrap();
    let result = &again["nodes"][0]["result"];
    assert_eq!(result["applied"], json!([]));
    assert_eq!(
        result["needs_restart"],
        json!(["storage.wal_segment_size_mb"])
    );
}

#[test]
fn a_configuration_that_a_start_refuses_changes_nothing() {
    let _turn = turns::light();
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    rewrite(
        &node,
        &[
            ("storage.max_machine_versions", "1"),
            ("storage.min_free_mb", "plenty"),
        ],
    );
    let refused = cli.run(&["reload"]).unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in [
        "CONFLICT",
        "storage.min_free_mb",
        "plenty",
        "keeps the one it has",
    ] {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
    for version in ["1", "2"] {
        let done = cli.run(&["put-machine", "-n", "m", "-v", version, MACHINE]);
        assert_eq!(done.unwrap().code, Some(0));
    }
}

#[test]
fn an_empty_configuration_does_not_open_the_port_for_nodes() {
    let _turn = turns::light();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "a secret that all nodes share").unwrap();
    let config = NodeConfig::for_tests()
        .with("cluster.node_id", "1")
        .with(
            "cluster.bind_addr",
            &format!("0.0.0.0:{}", ports::free().unwrap()),
        )
        .with("cluster.secret_file", &secret.display().to_string());
    let port = ports::free().unwrap();
    let own = format!(r#"[{{id: 1, peer_addr: "127.0.0.1:{port}", rcp_addr: "127.0.0.1:7401"}}]"#);
    let node = Node::start(&config.with("cluster.peers", &own)).unwrap();
    let cli = Cli::new(node.addr());
    let full = fs::read_to_string(node.config_path()).unwrap();
    fs::write(node.config_path(), "").unwrap();
    let refused = cli.run(&["reload"]).unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("cluster.secret_file"), "{refused:?}");
    fs::write(node.config_path(), full).unwrap();
    let unchanged = cli.json(&["reload", "--json"]).unwrap();
    let result = &unchanged["nodes"][0]["result"];
    assert_eq!(
        result,
        &json!({"applied": [], "files": [], "needs_restart": []})
    );
}

#[test]
fn an_emptied_configuration_whose_tokens_are_missing_changes_nothing() {
    let _turn = turns::light();
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("tokens");
    let mut hashing = Command::new(binaries::cli().unwrap());
    let hash = program::run(hashing.args(["hash-token", "the token"])).unwrap();
    fs::write(&secrets, hash.out).unwrap();
    let config = NodeConfig::for_tests()
        .with("auth.required", "true")
        .with("auth.secrets_file", &secrets.display().to_string())
        .with("storage.max_machine_versions", "2");
    let node = Node::spawn(&config).unwrap();
    let cli = |args: &[&str]| {
        let mut command = Cli::new(node.addr()).command(args).unwrap();
        program::run(command.env("RSTMDB_TOKEN", "the token")).unwrap()
    };
    let put = |version: &str| cli(&["put-machine", "-n", "m", "-v", version, MACHINE]);
    within(READY_TIMEOUT, || match put("1") {
        done if done.status.success() => Ok(()),
        done => Err(done.everything()),
    })
    .unwrap();
    fs::write(node.config_path(), "").unwrap();
    let refused = cli(&["reload"]);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.everything());
    assert!(
        refused.err.contains("no token is configured"),
        "{}",
        refused.everything()
    );
    // The limit of the emptied file would be another one.
    for (version, code) in [("2", 0), ("3", 1)] {
        let done = put(version);
        assert_eq!(done.status.code(), Some(code), "{}", done.everything());
    }
}

#[test]
fn a_file_of_tokens_that_is_no_file_does_not_hold_up_the_node() {
    let _turn = turns::light();
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("tokens");
    fs::write(&secrets, "").unwrap();
    let config = NodeConfig::for_tests().with("auth.secrets_file", &secrets.display().to_string());
    let node = Node::start(&config).unwrap();
    let cli = Cli::new(node.addr());
    fs::remove_file(&secrets).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &secrets).unwrap();
    let refused = cli.run(&["reload"]).unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("not a regular file"), "{refused:?}");
    fs::remove_file(&secrets).unwrap();
    fs::write(&secrets, "").unwrap();
    assert_eq!(cli.run(&["reload"]).unwrap().code, Some(0));
}

#[test]
fn a_reload_tells_of_new_encryption_keys_once() {
    let _turn = turns::light();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let keys = |known: &[u32]| {
        let line = |id: &u32| format!("{id} {}\n", "4a".repeat(32));
        fs::write(&path, known.iter().map(line).collect::<String>()).unwrap();
    };
    keys(&[1]);
    let config = NodeConfig::for_tests();
    let config = config.with("storage.encryption_key_file", &path.display().to_string());
    let node = Node::start(&config).unwrap();
    let cli = Cli::new(node.addr());
    let files = || cli.json(&["reload", "--json"]).unwrap()["nodes"][0]["result"]["files"].clone();
    assert_eq!(files(), json!([]));
    keys(&[1, 2]);
    assert_eq!(files(), json!(["storage.encryption_key_file"]));
    assert_eq!(files(), json!([]));
    keys(&[2]);
    let refused = cli.run(&["reload"]).unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("key 1 is missing"), "{refused:?}");
}
