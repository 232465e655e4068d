//! Backups in a bucket: taken in steps, checked, and restored.

use std::path::Path;
use std::process::Command;

use rstmdb_jepsen::binaries;
use rstmdb_jepsen::cli::Cli;
use rstmdb_jepsen::config::NodeConfig;
use rstmdb_jepsen::process::node::Node;
use rstmdb_jepsen::process::program::{self, EndedProgram};
use rstmdb_objects::double::{ACCESS_KEY, BUCKET, Double, SECRET_KEY};
use serde_json::{Value, json};

use crate::turns;

/// The environment by which the command line and the server find the bucket.
fn variables(double: &Double, dir: &Path) -> Vec<(&'static str, String)> {
    let file = |name: &str, content: &str| {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    vec![
        ("RSTMDB_ARCHIVE_S3_ENDPOINT", double.endpoint.clone()),
        ("RSTMDB_ARCHIVE_S3_ALLOW_HTTP", "true".to_owned()),
        (
            "RSTMDB_ARCHIVE_S3_ACCESS_KEY_FILE",
            file("access", ACCESS_KEY),
        ),
        (
            "RSTMDB_ARCHIVE_S3_SECRET_KEY_FILE",
            file("secret", SECRET_KEY),
        ),
    ]
}

fn create(cli: &Cli, ids: std::ops::Range<u32>) {
    let machine = json!({ "states": ["a"], "initial": "a", "transitions": [] }).to_string();
    cli.run(&["put-machine", "-n", "m", "-v", "1", &machine])
        .unwrap();
    for id in ids {
        let id = format!("i-{id}");
        let done = cli.run(&["create-instance", "-m", "m", "-V", "1", "-i", &id]);
        assert_eq!(done.unwrap().code, Some(0));
    }
}

#[test]
fn a_backup_in_a_bucket_grows_is_checked_and_is_restored() {
    let _turn = turns::light();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let double = runtime.block_on(Double::start()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let variables = variables(&double, dir.path());
    let url = format!("s3://{BUCKET}/backups/orders");
    let node = Node::start(&NodeConfig::for_tests()).unwrap();
    let cli = Cli::new(node.addr());
    let backup = |more: &[&str]| -> EndedProgram {
        let arguments = [&["backup", url.as_str()], more].concat();
        let mut command = cli.command(&arguments).unwrap();
        program::run(command.envs(variables.clone())).unwrap()
    };
    let report = |done: EndedProgram| -> Value {
        assert_eq!(done.status.code(), Some(0), "{}", done.err);
        serde_json::from_str(&done.out).unwrap()
    };
    create(&cli, 0..5);
    let first = report(backup(&[]));
    assert_eq!(first["restorable"][0]["first_offset"], 1);
    create(&cli, 5..9);
    let second = report(backup(&[]));
    assert!(second["added"].as_u64().unwrap() >= 4, "{second}");
    assert_eq!(report(backup(&[]))["added"], 0);
    report(backup(&["--verify"]));
    let names: Vec<String> = double.objects().into_keys().collect();
    assert!(
        names.iter().all(|name| name.starts_with("backups/orders/")),
        "{names:?}"
    );
    assert_eq!(names.len(), 2, "the small first file was merged: {names:?}");

    let data = dir.path().join("data");
    let mut restore = Command::new(binaries::server().unwrap());
    restore
        .args(["restore", "--from", &url, "--data"])
        .arg(&data);
    let done = program::run(restore.envs(variables.clone())).unwrap();
    assert!(done.status.success(), "{}", done.everything());
    assert!(done.out.contains("9 instances"), "{}", done.everything());

    let log = names.iter().find(|name| name.ends_with(".log")).unwrap();
    let mut spoilt = double.objects()[log].to_vec();
    let middle = spoilt.len() / 2;
    spoilt[middle] ^= 1;
    double.set(log, Some(spoilt.into()));
    let done = backup(&["--verify"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.err);
    assert!(done.err.contains("checksum does not match"), "{}", done.err);
    double.set(log, None);
    let done = backup(&[]);
    assert!(done.err.contains("it is missing"), "{}", done.err);
}
